"""The audit: measure every image once, run the checks, keep what they found; mark what is to go, and take it back."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from medimg_cli.audit.checks import CHECKS, CheckEntry, Need
from medimg_cli.audit.decisions import DecisionsInForce, decisions_path, read_decisions
from medimg_cli.audit.duplicates.across_splits import known_leak, pairs_path
from medimg_cli.audit.exclusions import (
    Change,
    apply_marks,
    journal_path,
    plan_marks,
    read_journal,
    undo_marks,
)
from medimg_cli.audit.findings import (
    SEVERITIES,
    AuditContext,
    AuditResult,
    CheckSkipped,
    Embedder,
    Finding,
    KeptFindings,
    SkippedCheck,
    is_failing,
    read_audit,
    subject_of,
    weigh,
    write_audit,
    write_images,
)
from medimg_cli.audit.measurements.measurements import Measured, TextFinder, measure_images
from medimg_cli.dataset.manifest import Dataset, read_dataset, read_quarantine, warn_of_edits
from medimg_cli.errors import DataError, MedimgError
from medimg_cli.images.readers import read_image
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.privacy.pixels.text_regions import find_text as find_text_regions
from medimg_cli.reporting.audit.page import gather_page, render_audit_page
from medimg_cli.workspace.files import sha256_of_file, sha256_of_text, write_text
from medimg_cli.workspace.progress import Progress, SilentProgress, Step
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.workspace import Workspace

Outcome = tuple[list[Finding], dict[str, str], list[SkippedCheck]]


def label_audit(
    workspace: Workspace,
    settings: LabelAuditSettings,
    progress: Progress = SilentProgress(),
    *,
    embed: Embedder | None = None,
    find_text: TextFinder | None = find_text_regions,
) -> AuditResult:
    """Audit the workspace's data set and write `audit/findings.csv`, `images.csv`, `audit.json` and the page.

    Findings are sorted by severity, then by check; what reviewers decided weighs in (`audit.findings`). A check
    that cannot run on this data, or was not asked for, is listed with its reason. One that stops on an error of
    its own is listed so too and loses nobody else's findings, but the audit has not passed then.

    Args:
        embed: features of a network whose weights are at hand, for the checks that use them.
        find_text: says where text may stand in an image.

    Raises:
        UsageError: a named check does not exist.
        DataError: there is no data set, or no image of it is usable.
    """
    chosen, left_out = _choose(settings)
    needs = frozenset(need for entry in chosen for need in entry.needs)
    dataset, measured = _measured(workspace, progress, find_text, needs, settings.decode_seconds)
    warn_of_edits(dataset.edited, progress)
    pictures = measured.table, measured.thumbnails, read_image
    quarantine = read_quarantine(workspace)
    context = AuditContext(workspace, dataset, quarantine, *pictures, settings, progress, embed)
    kept = KeptFindings(workspace)
    subject = subject_of(workspace, measured.table, settings, str(getattr(embed, "identity", embed)))
    asked = _asked(workspace, settings, subject, chosen)
    before = None
    with suppress(DataError):  # a damaged one is made again
        before = read_audit(workspace) if kept.is_answered(asked) else None
    if before is not None and page_path(workspace, settings).is_file():
        return before
    found, did, skipped = _run(chosen, context, kept, subject)
    in_force = _in_force(workspace, dataset)
    findings = sorted(weigh(found, in_force), key=lambda one: (SEVERITIES.index(one.severity), one.check))
    failed = any(check.failed for check in skipped)
    gate = (
        "error" if settings.fail_on == "never" else settings.fail_on
    )  # never: the exit code, not what was found
    result = AuditResult(
        findings=tuple(findings),
        passed=not failed and not is_failing(findings, gate),
        checks_run=tuple(did),
        checks_skipped=(*skipped, *left_out),
        dataset_hash=dataset.content_hash(),
        did=did,
        leak=replace(known_leak(workspace, dataset), ids=()),
    )
    write_audit(workspace, result)
    write_images(workspace, findings, dataset.rows, mask_identities)
    content = gather_page(context, result, in_force, read_journal(workspace))
    write_text(page_path(workspace, settings), render_audit_page(content))
    kept.write("" if failed else _asked(workspace, settings, subject, chosen))
    return result


def _asked(
    workspace: Workspace, settings: LabelAuditSettings, subject: str, chosen: Sequence[CheckEntry]
) -> str:
    """Return a hash of all that the written audit depends on: what is checked, how it is judged, what was decided."""
    parts = [subject, settings.model_dump_json(include={"fail_on", "html", "checks", "skip", "quick"})]
    parts += [entry.name for entry in chosen]
    files = (decisions_path(workspace), journal_path(workspace), pairs_path(workspace))
    parts += [sha256_of_file(path) if path.is_file() else "" for path in files]
    return sha256_of_text("\n".join(parts))


def wants(settings: LabelAuditSettings, check: str) -> bool:
    """Return whether the settings ask for a check."""
    return not _why_not(CHECKS.get(check), settings)


def page_path(workspace: Workspace, settings: LabelAuditSettings) -> Path:
    """Return where the page is written."""
    return settings.html or workspace.audit_dir / "audit.html"


def apply_findings(workspace: Workspace, result: AuditResult) -> tuple[Change, int]:
    """Mark in the manifest what the findings exclude (`audit.exclusions`); no image file is touched.

    Returns:
        what was marked, and how many groups of copies are left for a reader, as their labels differ.

    Raises:
        DataError: a class would be left without an image.
        MachineError: another process writes the data set, or it cannot be written.
    """
    dataset = read_dataset(workspace)
    plan = plan_marks(result.findings, dataset, _in_force(workspace, dataset))
    return (apply_marks(workspace, plan.marks) if plan.marks else Change()), plan.for_somebody


def undo(workspace: Workspace) -> Change:
    """Give back the rows that `apply_findings` or a reviewer marked; raises as `apply_findings`."""
    return undo_marks(workspace)


def _choose(settings: LabelAuditSettings) -> tuple[list[CheckEntry], list[SkippedCheck]]:
    """Return the checks to run, and those the settings leave out."""
    for name in (*settings.checks, *settings.skip):
        CHECKS.get(name)
    entries = [CHECKS.get(name) for name in CHECKS.names()]
    why_not = {entry.name: _why_not(entry, settings) for entry in entries}
    left_out = [SkippedCheck(name, why) for name, why in why_not.items() if why]
    return [entry for entry in entries if not why_not[entry.name]], left_out


def _why_not(entry: CheckEntry, settings: LabelAuditSettings) -> str:
    """Return why the settings leave a check out, "" where they ask for it; a check that is named runs, quick or not."""
    if entry.name in settings.skip:
        return "left out by --skip"
    if settings.checks:
        return "" if entry.name in settings.checks else "not among --checks"
    return "left out by --quick" if settings.quick and not entry.quick else ""


def _measured(
    workspace: Workspace,
    progress: Progress,
    find_text: TextFinder | None,
    needs: frozenset[Need],
    seconds: float,
) -> tuple[Dataset, Measured]:
    dataset = read_dataset(workspace)
    usable = dataset.usable
    if usable.empty:
        raise DataError(
            f"no usable image in {workspace.manifest_path}",
            "dataset/quarantine.csv and the column `reason` of the manifest say why",
        )
    measured = measure_images(
        workspace,
        usable,
        read_image,
        progress,
        find_text=find_text if "text" in needs else None,
        statistics="looks" in needs,
        seconds=seconds,
    )
    return dataset, measured


def _in_force(workspace: Workspace, dataset: Dataset) -> DecisionsInForce:
    rows = dataset.rows
    contents = dict(zip(rows["image_id"], rows["sha256"], strict=True))
    return DecisionsInForce(read_decisions(workspace), contents)


def _run(chosen: list[CheckEntry], context: AuditContext, kept: KeptFindings, subject: str) -> Outcome:
    """Run the checks, or take over what they found before in the same data, settings and code (`audit.findings`)."""
    findings: list[Finding] = []
    did: dict[str, str] = {}
    skipped: list[SkippedCheck] = []
    for number, entry in enumerate(chosen, start=1):
        step = Step(context.progress, f"check {number} of {len(chosen)}, {entry.name}")
        try:
            checked = kept.of(entry.name, subject)
            if checked is None:
                with step:
                    checked = entry.run(replace(context, progress=step))
            if isinstance(checked, str):
                raise CheckSkipped(checked)
            kept.keep(entry.name, subject, checked)
        except CheckSkipped as reason:
            skipped.append(SkippedCheck(entry.name, str(reason)))
            kept.keep(entry.name, subject, str(reason))
        except MedimgError:  # the user can mend it: a missing file of weights, a full disk
            raise
        except Exception as error:
            if os.environ.get("MEDIMG_DEBUG"):
                raise
            text = " ".join(str(error).split())
            skipped.append(
                SkippedCheck(entry.name, f"failed: {type(error).__name__}: {mask_identities(text)}", True)
            )
        else:
            findings += checked.findings
            did[entry.name] = checked.did
    return findings, did, skipped
