"""What an audit finds, and what a check is given to find it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import pandas as pd

from medimg_cli.core.files import read_json, write_json
from medimg_cli.core.manifest import Dataset, write_table
from medimg_cli.core.workspace import Workspace

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One thing a reviewer would object to.

    Args:
        check: name of the check.
        severity: error (results would be wrong), warning (look at it), info.
        message: one line, identities masked.
        advice: one line: what to do.
        image_ids: every image concerned.
        count: how many images, groups or patients; the unit stands in the message.
    """

    check: str
    severity: Severity
    message: str
    advice: str
    image_ids: tuple[str, ...]
    count: int


class CheckSkipped(Exception):  # noqa: N818 -- not an error: the check says why it cannot run here
    """Raised by a check that cannot run on this data; its text is the reason."""


@dataclass(frozen=True)
class AuditContext:
    """What every check may look at.

    Args:
        workspace: resolves manifest paths.
        dataset: rows of all statuses.
        quarantine: files that could not be ingested.
        measurements: index image_id; columns `readable` (bool), `reason`, `pixel_sha256`, `mean`, `std`,
            `minimum`, `maximum` (0..1 of the type's range), `sha256` (as the file is now; of the
            pixels for a member of an array file; "" when it is gone), one row per usable image.
    """

    workspace: Workspace
    dataset: Dataset
    quarantine: pd.DataFrame
    measurements: pd.DataFrame


class Check(Protocol):
    """One entry of the shelf of checks: a function with a name, silent on a clean cohort.

    Raises:
        CheckSkipped: it cannot run on this data.
    """

    def __call__(self, context: AuditContext) -> list[Finding]: ...


@dataclass(frozen=True)
class SkippedCheck:
    """A check that did not run, and why."""

    check: str
    why: str


@dataclass(frozen=True)
class AuditResult:
    """The outcome of a whole audit, as `audit/audit.json` holds it."""

    findings: tuple[Finding, ...]
    passed: bool
    checks_run: tuple[str, ...]
    checks_skipped: tuple[SkippedCheck, ...]
    dataset_hash: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_failing(findings: Sequence[Finding], fail_on: str) -> bool:
    """Return whether a finding stands at or above `fail_on` (error, warning or never)."""
    if fail_on == "never":
        return False
    failing = SEVERITIES[: SEVERITIES.index("warning" if fail_on == "warning" else "error") + 1]
    return any(finding.severity in failing for finding in findings)


def write_audit(workspace: Workspace, result: AuditResult) -> None:
    """Write `audit/findings.csv` and `audit/audit.json` atomically."""
    rows = [asdict(finding) | {"image_ids": "|".join(finding.image_ids)} for finding in result.findings]
    columns = list(Finding.__dataclass_fields__)
    write_table(workspace.audit_dir / "findings.csv", pd.DataFrame(rows, columns=columns))
    write_json(workspace.audit_dir / "audit.json", result.as_dict())


def read_audit(workspace: Workspace) -> AuditResult | None:
    """Return the last audit, or None when there was none."""
    path = workspace.audit_dir / "audit.json"
    if not path.is_file():
        return None
    content = read_json(path)
    findings = tuple(
        Finding(**{**finding, "image_ids": tuple(finding["image_ids"])}) for finding in content["findings"]
    )
    skipped = tuple(SkippedCheck(**skipped) for skipped in content["checks_skipped"])
    return AuditResult(
        findings, content["passed"], tuple(content["checks_run"]), skipped, content["dataset_hash"]
    )
