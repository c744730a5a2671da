"""One listed file at a time: decoded and hashed into the cells of its manifest or quarantine row."""

import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg_cli.dataset.ingest.previous import Containers, PreviousDataset
from medimg_cli.dataset.listing import Entry, Rejected
from medimg_cli.dataset.manifest import EXAM, RELABELLED, UNKNOWN_COLUMN
from medimg_cli.images.decoding import refuse_huge_file
from medimg_cli.images.image import DecodedImage, UnreadableImage, split_member
from medimg_cli.workspace.files import atomic_path, sha256_of_file, sha256_of_text
from medimg_cli.workspace.threads import TOO_LONG
from medimg_cli.workspace.workspace import Workspace

_KEPT_FACTS = tuple(
    """
    modality transfer_syntax window inverted frame frames orientation alpha note named
""".split()
)
"""What a reader applied or found that belongs into the manifest; nothing that names a person."""
_MOST_HASHED = 256 << 20
"""A larger file that is no image is named without a hash: 20 GB of zeros would be read for minutes."""
_IDENTITIES = ("patient_id", "study_uid", "series_uid")


@dataclass(frozen=True, slots=True)
class Examined:
    """An image that was decoded, now or by an earlier ingest.

    Args:
        cells: its manifest columns but for path, patient and split.
        dicom: what its header says of patient, study and series; for pseudonyms, never for the manifest.
        reused: its bytes are those of the earlier ingest, whose cells these are.
    """

    entry: Entry
    cells: dict[str, Any]
    dicom: Mapping[str, str] = field(default_factory=dict)
    reused: bool = False


@dataclass(frozen=True)
class Examiner:
    """What it takes to look at one file.

    Args:
        read_image: raises `UnreadableImage`, whose text becomes the reason.
        previous: rows of unchanged files are taken over instead of decoding again.
        containers: hashes of archives and multi-frame files.
        hashing: False decodes and does nothing else.
    """

    workspace: Workspace
    read_image: Callable[[str], DecodedImage]
    previous: PreviousDataset
    containers: Containers
    hashing: bool = True

    def examine(self, entry: Entry) -> Examined | Rejected:
        """Decode an image fully and hash it: the file's bytes, or the pixels of one image of several in a file."""
        try:
            if not self.hashing:
                decoded = self.read_image(entry.path)
                return Examined(entry, {"frame": decoded.facts.get("frame", "")}, _named(decoded))
            file, member = _parts(entry)
            if member is None:
                refuse_huge_file(file)
            same = member is not None and self.containers.unchanged(self.workspace.relative(file), file)
            content = ""
            if entry.image_id in self.previous:
                cells = self.previous.cells(entry.image_id)
                content = "" if member is not None else sha256_of_file(file)
                if same or cells["sha256"] == content:
                    return Examined(entry, _again(entry, cells), reused=True)
            decoded = self.read_image(entry.path)  # before it is hashed: gigabytes may be no image
            content = content or (decoded.pixel_sha256() if member is not None else sha256_of_file(file))
        except UnreadableImage as error:
            return Rejected(entry.path, str(error))
        except OSError as error:  # it went away, or may not be read
            return Rejected(entry.path, (error.strerror or "cannot be read").lower())
        cells = _cells(entry, decoded, content)
        return Examined(entry, cells, _named(decoded))

    def hash_container(self, entry: Entry, outcome: Examined | Rejected) -> None:
        """Have the archive of an image hashed here too, where another process examined the image."""
        file, member = _parts(entry)
        gone = isinstance(outcome, Rejected) and outcome.reason.startswith(TOO_LONG)
        if self.hashing and member is not None and not gone:
            with suppress(OSError):  # its images say so
                self.containers.unchanged(self.workspace.relative(file), file)


def quarantine_row(workspace: Workspace, row: Rejected, *, hashing: bool = True) -> dict[str, str | int]:
    """Return the cells `QUARANTINE_COLUMNS` of a file or table row that cannot be used."""
    path = Path(row.path)
    cells: dict[str, str | int] = {"path": row.path, "reason": row.reason, "bytes": "", "sha256": ""}
    if not path.is_absolute():
        return cells
    cells["path"] = workspace.relative(path)
    try:
        if hashing and path.is_file():
            cells["bytes"] = size = path.stat().st_size
            cells["sha256"] = sha256_of_file(path) if size <= _MOST_HASHED else ""
    except OSError as error:  # the row says why it cannot be hashed either
        cells["reason"] = f"{row.reason} ({(error.strerror or 'cannot be read').lower()})"
    return cells


@dataclass(frozen=True)
class Copier:
    """Copies images to `dataset/images/<image id>`; a file that holds several images once, whole.

    Where the file system takes two names that differ in case alone for one, the second gets another.
    """

    workspace: Workspace
    _done: set[Path] = field(default_factory=set)
    _first: dict[str, Path] = field(default_factory=dict)

    def copy(self, entry: Entry) -> str:
        """Copy an image's file unless it is there, and return its manifest path."""
        file, member = _parts(entry)
        target = self.workspace.manifest_path.parent / "images" / _copy_name(entry, file, member)
        first = self._first.setdefault(target.as_posix().casefold(), target)
        if target != first and target.exists() and target.samefile(first):
            target = target.with_name(f"{sha256_of_text(entry.image_id)[:8]}-{target.name}")
        if target not in self._done:
            self._done.add(target)
            if not target.is_file() or sha256_of_file(target) != sha256_of_file(file):
                with atomic_path(target) as temporary:
                    shutil.copyfile(file, temporary)
        return self.workspace.relative(target) + (f"#{member}" if member else "")


def _copy_name(entry: Entry, file: Path, member: str | None) -> str:
    if member is None or not entry.image_id.endswith(member):
        return entry.image_id
    name = entry.image_id.removesuffix(member).removesuffix("#")
    return f"{name}{file.name}" if not name or name.endswith("/") else name


def _parts(entry: Entry) -> tuple[Path, str | None]:
    """Return (file, member); the file itself where its name only looks like a member of an archive."""
    if "#" not in entry.path or Path(entry.path).is_file():
        return Path(entry.path), None
    file, member = split_member(entry.path)
    return Path(file), member


def _again(entry: Entry, cells: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of an unchanged file with what the source says about it now.

    A label that a reviewer gave stands over the source's, until `label-audit --undo` takes it back.
    """
    reviewed = str(cells["reason"]).startswith(RELABELLED)
    return {
        name: value
        for name, value in cells.items()
        if name not in ("path", "patient_id", "split", "fold", EXAM, UNKNOWN_COLUMN)
    } | {"label": sys.intern(str(cells["label"]) if reviewed else entry.label), **entry.extra}


def _named(decoded: DecodedImage) -> dict[str, str]:
    return {name: decoded.facts[name] for name in _IDENTITIES if name in decoded.facts}


def _cells(entry: Entry, decoded: DecodedImage, content: str) -> dict[str, Any]:
    facts = {name: decoded.facts[name] for name in _KEPT_FACTS if name in decoded.facts}
    return {
        "image_id": entry.image_id,
        "label": sys.intern(entry.label),
        "width": decoded.width,
        "height": decoded.height,
        "channels": decoded.channels,
        "bit_depth": decoded.bit_depth,
        "sha256": content,
        "status": "ok",
        "reason": "",
        **entry.extra,
        **{f"file_{name}" if name in entry.extra else name: value for name, value in facts.items()},
    }
