"""What an audit finds, and what a check is given to find it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.measurements.measurements import Reader
from medimg_cli.audit.measurements.thumbnails import Thumbnails
from medimg_cli.dataset.leakage import Leak
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.workspace.files import read_json, write_json
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace

Severity = Literal["error", "warning", "info"]
TABLE_COLUMNS = ("check", "severity", "message", "advice", "image_ids", "count", "remedy")
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


Remedy = Literal["keep-one", "exclude", "look"]


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
        groups: image ids that belong together, such as copies of one picture; () where each stands alone.
        notes: image id → what to know of this one image: a score, the class proposed.
        remedy: what `--apply` may do: keep one image of each group, exclude them all, or nothing, as
            somebody has to look.
        reviewed: what reviewers decided about these images, "" when nobody did; see `audit.reviewed_findings`. Not for
            checks to fill in.
    """

    check: str
    severity: Severity
    message: str
    advice: str
    image_ids: tuple[str, ...]
    count: int
    groups: tuple[tuple[str, ...], ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    remedy: Remedy = "look"
    reviewed: str = ""


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Args:
        findings: nothing on a clean cohort.
        did: one sentence: what was looked at, and how much of it.
    """

    findings: tuple[Finding, ...]
    did: str


class CheckSkipped(Exception):  # noqa: N818 -- not an error: the check says why it cannot run here
    """Raised by a check that cannot run on this data; its text is the reason."""


Embedder = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class AuditContext:
    """What every check may look at.

    Args:
        workspace: resolves manifest paths.
        dataset: rows of all statuses.
        quarantine: files that could not be ingested.
        measurements: index image_id; columns `audit.measurements.measurements.MEASUREMENT_COLUMNS`, one row per usable image.
        thumbnails: small grey pictures of the readable images.
        read: returns the pixels of an absolute path; raises `UnreadableImage`.
        settings: what the user asked the audit for.
        progress: told about work that takes its time.
        embed: absolute paths (N) → features (N, D) of a network whose weights are at hand; None without one.
    """

    workspace: Workspace
    dataset: Dataset
    quarantine: pd.DataFrame
    measurements: pd.DataFrame
    thumbnails: Thumbnails
    read: Reader
    settings: LabelAuditSettings = field(default_factory=LabelAuditSettings)
    progress: Progress = field(default_factory=SilentProgress)
    embed: Embedder | None = None


class Check(Protocol):
    """One entry of the shelf of checks: a function with a name, silent on a clean cohort.

    Raises:
        CheckSkipped: it cannot run on this data.
    """

    def __call__(self, context: AuditContext) -> Checked: ...


@dataclass(frozen=True)
class SkippedCheck:
    """A check that did not run to its end, and why.

    Args:
        failed: it stopped on an error of its own: an audit with such a check has not passed.
    """

    check: str
    why: str
    failed: bool = False


@dataclass(frozen=True)
class AuditResult:
    """The outcome of a whole audit, as `audit/audit.json` holds it.

    Args:
        did: check → one sentence on what it looked at.
        leak: test images with a counterpart in another split.
    """

    findings: tuple[Finding, ...]
    passed: bool
    checks_run: tuple[str, ...]
    checks_skipped: tuple[SkippedCheck, ...]
    dataset_hash: str
    did: Mapping[str, str] = field(default_factory=dict)
    leak: Leak | None = None

    @property
    def failed(self) -> tuple[SkippedCheck, ...]:
        """Return the checks that stopped on an error of their own."""
        return tuple(skipped for skipped in self.checks_skipped if skipped.failed)

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
    write_table(workspace.audit_dir / "findings.csv", pd.DataFrame(rows, columns=list(TABLE_COLUMNS)))
    write_json(workspace.audit_dir / "audit.json", result.as_dict())


def read_audit(workspace: Workspace) -> AuditResult | None:
    """Return the last audit, or None when there was none."""
    path = workspace.audit_dir / "audit.json"
    if not path.is_file():
        return None
    content = read_json(path)
    findings = tuple(map(finding_of, content["findings"]))
    skipped = tuple(SkippedCheck(**skipped) for skipped in content["checks_skipped"])
    return AuditResult(
        findings,
        content["passed"],
        tuple(content["checks_run"]),
        skipped,
        content["dataset_hash"],
        content.get("did", {}),
        Leak(**{**content["leak"], "ids": ()}) if content.get("leak") else None,
    )


def finding_of(content: Mapping[str, Any]) -> Finding:
    """Return a finding as `asdict` gave it."""
    groups = tuple(tuple(group) for group in content.get("groups", ()))
    return Finding(**{**content, "image_ids": tuple(content["image_ids"]), "groups": groups})
