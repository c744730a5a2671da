"""What de-identification leaves beside the copies: a log for everybody, and a map for who keeps the key."""

import csv
import glob
import io
from collections.abc import Sequence
from pathlib import Path

from medimg_cli import __version__
from medimg_cli.privacy.dicom.rules import edition
from medimg_cli.privacy.removal.deidentify_file import Outcome
from medimg_cli.privacy.removal.profile import Profile, Verb
from medimg_cli.workspace.files import atomic_path, remove_leftovers, write_text
from medimg_cli.workspace.plain_text import quoting_of, shielded, unshielded

LOG_NAME = "deidentify-log.csv"
COUNTS = (*(str(verb) for verb in Verb), "text_regions_masked")
IDENTITY_COUNTS = tuple(str(verb) for verb in (Verb.REMOVE, Verb.EMPTY, Verb.DUMMY, Verb.UID, Verb.SHIFT))
"""What took something of a person out of a file."""
_MAP_COLUMNS = ("source", "original", "copy", "reason")
_OWNER_ONLY = 0o600


def map_path(key: Path) -> Path:
    """Return where the map of a key stands: beside it, never among the copies."""
    return key.with_name(f"{key.stem}-map.csv")


def forget_killed_runs(copies: Path, key: Path) -> None:
    """Remove unfinished copies, keys and maps of runs that were killed: nobody may find half a copy or a key there."""
    beside_key = key.parent.glob(f".{glob.escape(key.stem)}*.tmp")
    remove_leftovers([*copies.rglob(".*.tmp"), *beside_key])


def write_log(folder: Path, outcomes: Sequence[Outcome], profile: Profile) -> Path:
    """Write one row a file, without any value that was removed, and return where it stands."""
    rows = [
        [
            outcome.name,
            outcome.kind,
            "written" if outcome.written else "not written",
            outcome.reason,
            *(outcome.counts.get(name, 0) for name in COUNTS),
            edition(),
            profile.words,
            __version__,
        ]
        for outcome in outcomes
    ]
    head = ["file", "kind", "status", "reason", *COUNTS, "edition", "profile", "medimg"]
    target = folder / LOG_NAME
    write_text(target, _table(head, rows))
    return target


def update_map(path: Path, source: Path, outcomes: Sequence[Outcome], *, folder: str = "") -> None:
    """Add which original became which copy to the map, readable for its owner only.

    It holds the original names, and with the key it leads back to every patient.

    Args:
        folder: what the copy of the whole source is called, where it is one of several.
    """
    known = {(row[0], row[1]): row for row in _rows(path)}
    if folder:
        known[str(source), ""] = [str(source), "", folder, ""]
    for outcome in outcomes:
        original = outcome.original.relative
        copy = outcome.name if outcome.written else ""
        known[str(source), original] = [str(source), original, copy, outcome.reason]
    with atomic_path(path) as temporary:
        temporary.touch(mode=_OWNER_ONLY)
        temporary.write_text(
            _table(list(_MAP_COLUMNS), [known[key] for key in sorted(known)]), encoding="utf-8"
        )


def folders_of_sources(path: Path) -> dict[str, str]:
    """Return source → what its copy is called, as far as the map knows."""
    return {row[0]: row[2] for row in _rows(path) if not row[1]}


def _rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [[*map(unshielded, row)] for row in csv.reader(stream)][1:]


def _table(head: list[str], rows: Sequence[Sequence[object]]) -> str:
    target = io.StringIO()
    safe = [[shielded(str(cell)) for cell in row] for row in rows]
    quoting = quoting_of(cell for row in safe for cell in row)
    csv.writer(target, lineterminator="\n", quoting=quoting).writerows([head, *safe])
    return target.getvalue()
