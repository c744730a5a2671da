"""What an audit finds, and what a check is given to find it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import medimg_cli
from medimg_cli.audit.decisions import Action, DecisionsInForce
from medimg_cli.audit.duplicates.across_splits import pairs_path
from medimg_cli.audit.measurements.measurements import Reader
from medimg_cli.audit.measurements.thumbnails import Thumbnails
from medimg_cli.dataset.leakage import Leak
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import check_seal, read_json, sealed, sha256_of_text, write_json
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.tables import table_sha256, write_table
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
        reviewed: what reviewers decided about these images, "" when nobody did; see `audit.findings`. Not for
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
        progress: notified of work that takes its time.
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
    write_json(workspace.audit_dir / "audit.json", sealed(result.as_dict()))


def read_audit(workspace: Workspace) -> AuditResult | None:
    """Return the last audit, or None when there was none.

    Raises:
        DataError: it is not as it was written.
    """
    path = workspace.audit_dir / "audit.json"
    if not path.is_file():
        return None
    content = check_seal(path, read_json(path))
    if not isinstance(content, dict) or "dataset_hash" not in content:
        raise DataError(f"{path} holds no audit", "run `medimg label-audit` again")
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


_STATES = 3
"""As `--apply`, `--review` and `--undo` go to and fro."""
_OF_THE_ANSWER = frozenset(
    ("checks", "skip", "quick", "fail_on", "html", "apply", "undo", "review", "port", "reviewer")
)
"""Settings that say which checks run and what becomes of their findings, not what is found."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a hash of medimg's own source and of the names and versions of all that is installed beside it."""
    digest = hashlib.sha256()
    for path in sorted(Path(medimg_cli.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    digest.update("\n".join(sorted(f"{d.name} {d.version}" for d in distributions())).encode())
    return digest.hexdigest()


def subject_of(
    workspace: Workspace, measured: pd.DataFrame, settings: LabelAuditSettings, network: str
) -> str:
    """Return a hash of all that a check may depend on: code, data set, contents of the files as they are, settings.

    Args:
        measured: `Measured.table`.
        network: what tells the network of `AuditContext.embed` from others.
    """
    files = (workspace.manifest_path, workspace.dataset_path, workspace.quarantine_path)
    parts = [code_version(), settings.model_dump_json(exclude=set(_OF_THE_ANSWER)), network]
    parts += [table_sha256(path) for path in files if path.is_file()]
    parts.append(measured[["readable", "reason", "sha256"]].to_csv(lineterminator="\n"))
    return sha256_of_text("\n".join(parts))


class KeptFindings:
    """What checks found before; a damaged file of it only costs time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._path = workspace.audit_dir / "kept_findings.json"
        self._content: dict[str, Any] = {}
        if self._path.is_file():
            try:
                content = check_seal(self._path, read_json(self._path))
                states = (*content["checks"].values(), {})
                self._content = content if all(isinstance(state, dict) for state in states) else {}
            except (AttributeError, DataError, KeyError, TypeError, ValueError):  # somebody edited it
                self._content = {}

    def of(self, check: str, subject: str) -> Checked | str | None:
        """Return what a check found, or why it could not run; None where it has not looked at this."""
        try:
            kept: Mapping[str, Any] = self._content["checks"][check][self._key(check, subject)]
            if kept["why"]:
                return str(kept["why"])
            return Checked(tuple(map(finding_of, kept["findings"])), str(kept["did"]))
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, check: str, subject: str, found: Checked | str) -> None:
        """Keep what a check came to; the oldest of several states goes."""
        states = self._content.setdefault("checks", {}).setdefault(check, {})
        key = self._key(check, subject)
        states.pop(key, None)
        why = found if isinstance(found, str) else ""
        did = "" if isinstance(found, str) else found.did
        findings = [] if isinstance(found, str) else [asdict(finding) for finding in found.findings]
        states[key] = {"why": why, "did": did, "findings": findings}
        for old in list(states)[:-_STATES]:
            del states[old]

    def is_answered(self, audit: str) -> bool:
        """Return whether the audit that stands in the folder is the one with this key."""
        return self._content.get("audit") == audit

    def write(self, audit: str) -> None:
        """Write everything, with the key of the audit whose result stands in the folder now."""
        write_json(self._path, sealed(self._content | {"audit": audit}))

    def _key(self, check: str, subject: str) -> str:
        """Return the key of a check: the search for copies counts only while the pairs it wrote are there too."""
        path = pairs_path(self._workspace)
        if check != "near-duplicates" or not path.is_file():
            return subject
        return f"{subject} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def weigh(findings: Iterable[Finding], in_force: DecisionsInForce) -> tuple[Finding, ...]:
    """Return the findings with what was decided about their images.

    Where a named reviewer kept every image that a check flagged, the finding weighs one step less: an error
    becomes a warning, a warning information. It stays listed with the reviewers' names, and `--fail-on warning`
    still stops on what was an error. Whether a split leaks is asked again before every evaluation, whatever was
    kept here.
    """
    return tuple(_weighed(finding, in_force) for finding in findings)


def _weighed(finding: Finding, in_force: DecisionsInForce) -> Finding:
    answers = [in_force.answer(image, finding.check) for image in dict.fromkeys(finding.image_ids)]
    given = [answer for answer in answers if answer is not None]
    if not given:
        return finding
    actions = Counter(answer.action for answer in given)
    words: dict[Action, str] = {"keep": "kept", "exclude": "to be excluded", "relabel": "relabelled"}
    counts = ", ".join(f"{actions[action]:,} {word}" for action, word in words.items() if actions[action])
    people = ", ".join(dict.fromkeys(answer.who or "a reviewer" for answer in given))
    reviewed = f"{len(given):,} of {len(answers):,} images reviewed by {people}: {counts}"
    severity = finding.severity
    if actions["keep"] == len(answers):
        severity = SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
    return replace(finding, severity=severity, reviewed=reviewed)


COLUMNS = tuple("finding check severity image_id group label split patient_id path note".split())


def write_images(
    workspace: Workspace, findings: Sequence[Finding], rows: pd.DataFrame, mask: Callable[[str], str]
) -> None:
    """Write `audit/images.csv` atomically.

    `finding` is the row of `findings.csv` from 1, `group` numbers what belongs together inside it ("" where each
    image stands alone). The id is the manifest's, to join on; path and patient are masked.

    Args:
        rows: the manifest.
        mask: hides what looks like an identity.
    """
    known = rows.drop_duplicates("image_id").set_index("image_id")[["label", "split", "patient_id", "path"]]
    named = {image for finding in findings for image in finding.image_ids}
    known = known.loc[known.index.isin(named)]
    facts = known.assign(patient_id=known["patient_id"].map(mask), path=known["path"].map(mask)).to_dict(
        "index"
    )
    nothing = dict.fromkeys(known.columns, "")
    lines = [
        {"finding": number, **line, **facts.get(line["image_id"], nothing)}
        for number, finding in enumerate(findings, start=1)
        for line in _lines(finding)
    ]
    write_table(workspace.audit_dir / "images.csv", pd.DataFrame(lines, columns=list(COLUMNS)))


def _lines(finding: Finding) -> Iterator[dict[str, Any]]:
    """Yield one line for each image of a finding; an image of two groups has two."""
    grouped = [
        (str(number), image) for number, group in enumerate(finding.groups, start=1) for image in group
    ]
    placed = {image for _, image in grouped}
    ungrouped = [("", image) for image in finding.image_ids if image not in placed]
    for group, image in [*grouped, *ungrouped]:
        yield {
            "check": finding.check,
            "severity": finding.severity,
            "image_id": image,
            "group": group,
            "note": finding.notes.get(image, ""),
        }
