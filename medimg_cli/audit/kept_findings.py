"""What each check found, kept by all it depends on, so that no check looks twice at the same.

audit/kept_findings.json    check → key → what it came to, of the last states of the data set; and the key of the audit
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd

import medimg_cli
from medimg_cli.audit.duplicates.kept_pairs import pairs_path
from medimg_cli.audit.findings import Checked, finding_of
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import read_json, sha256_of_text, write_json
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.workspace import Workspace

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
    folder = workspace.manifest_path.parent
    files = (workspace.manifest_path, workspace.dataset_path, folder / "quarantine.csv")
    parts = [code_version(), settings.model_dump_json(exclude=set(_OF_THE_ANSWER)), network]
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
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
                content = read_json(self._path)
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
        write_json(self._path, self._content | {"audit": audit})

    def _key(self, check: str, subject: str) -> str:
        """Return the key of a check: the search for copies counts only while the pairs it wrote are there too."""
        path = pairs_path(self._workspace)
        if check != "near-duplicates" or not path.is_file():
            return subject
        return f"{subject} {hashlib.sha256(path.read_bytes()).hexdigest()}"
