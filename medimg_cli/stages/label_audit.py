"""The audit: measure every image once, run the checks, keep what they found."""

from medimg_cli.checks import CHECKS, CheckEntry
from medimg_cli.core.audit import (
    SEVERITIES,
    AuditContext,
    AuditResult,
    CheckSkipped,
    Finding,
    SkippedCheck,
    is_failing,
    write_audit,
)
from medimg_cli.core.manifest import read_dataset, read_quarantine
from medimg_cli.core.measurements import measure_images
from medimg_cli.core.progress import Progress, SilentProgress
from medimg_cli.core.settings import LabelAuditSettings
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError
from medimg_cli.readers import read_image


def label_audit(
    workspace: Workspace, settings: LabelAuditSettings, progress: Progress = SilentProgress()
) -> AuditResult:
    """Audit the workspace's data set and write `audit/findings.csv` and `audit/audit.json`.

    Findings are sorted by severity, then by check. A check that cannot run on this data, or was not asked
    for, is listed with its reason.

    Raises:
        UsageError: a named check does not exist.
        DataError: there is no data set, or no image of it is usable.
    """
    chosen, left_out = _choose(settings)
    context = _context(workspace, settings, progress)
    findings: list[Finding] = []
    did: dict[str, str] = {}
    skipped: list[SkippedCheck] = []
    for entry in chosen:
        try:
            checked = entry.run(context)
            findings += checked.findings
            did[entry.name] = checked.did
        except CheckSkipped as reason:
            skipped.append(SkippedCheck(entry.name, str(reason)))
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.check))
    result = AuditResult(
        findings=tuple(findings),
        passed=not is_failing(findings, settings.fail_on),
        checks_run=tuple(did),
        checks_skipped=(*skipped, *left_out),
        dataset_hash=context.dataset.content_hash(),
        did=did,
    )
    write_audit(workspace, result)
    return result


def _choose(settings: LabelAuditSettings) -> tuple[list[CheckEntry], list[SkippedCheck]]:
    """Return the checks to run, and those the settings leave out."""
    for name in (*settings.checks, *settings.skip):
        CHECKS.get(name)
    chosen, left_out = [], []
    for name in CHECKS.names():
        if name in settings.skip:
            left_out.append(SkippedCheck(name, "left out by --skip"))
        elif settings.checks and name not in settings.checks:
            left_out.append(SkippedCheck(name, "not among --checks"))
        else:
            chosen.append(CHECKS.get(name))
    return chosen, left_out


def _context(workspace: Workspace, settings: LabelAuditSettings, progress: Progress) -> AuditContext:
    dataset = read_dataset(workspace)
    usable = dataset.usable
    if usable.empty:
        raise DataError(
            f"no usable image in {workspace.manifest_path}",
            "dataset/quarantine.csv and the column `reason` of the manifest say why",
        )
    measured = measure_images(workspace, usable, read_image, progress)
    return AuditContext(
        workspace=workspace,
        dataset=dataset,
        quarantine=read_quarantine(workspace),
        measurements=measured.table,
        thumbnails=measured.thumbnails,
        read=read_image,
        settings=settings,
        progress=progress,
    )
