"""One listed file at a time: decoded and hashed into the cells of its manifest or quarantine row."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.core.files import atomic_path, sha256_of_file
from medimg_cli.core.image import DecodedImage, UnreadableImage, split_member
from medimg_cli.core.listing import Entry, Rejected
from medimg_cli.core.workspace import Workspace

_KEPT_FACTS = ("modality", "transfer_syntax", "window", "inverted", "frame", "orientation", "alpha")
"""What a reader applied or found that belongs into the manifest; nothing that names a person."""


@dataclass(frozen=True)
class Examined:
    """An image that was decoded.

    Args:
        cells: its manifest columns but for path, patient and split.
        dicom_patient: the PatientID of its header, "" without one; for a pseudonym, never for the manifest.
    """

    entry: Entry
    cells: dict[str, str | int]
    dicom_patient: str

    @property
    def sha256(self) -> str:
        return str(self.cells["sha256"])


def examine(entry: Entry, read_image: Callable[[str], DecodedImage]) -> Examined | Rejected:
    """Decode an image fully and hash it: the file's bytes, or the pixels of an archive's member.

    Args:
        read_image: raises `UnreadableImage`, whose text becomes the reason.
    """
    try:
        decoded = read_image(entry.path)
        file, member = _parts(entry)
        content = sha256_of_file(file) if member is None else decoded.pixel_sha256()
    except UnreadableImage as error:
        return Rejected(entry.path, str(error))
    except OSError as error:  # it went away between decoding and hashing
        return Rejected(entry.path, (error.strerror or "cannot be read").lower())
    return Examined(entry, _cells(entry, decoded, content), decoded.facts.get("patient_id", ""))


def quarantine_row(workspace: Workspace, row: Rejected) -> dict[str, str | int]:
    """Return the cells `QUARANTINE_COLUMNS` of a file or table row that cannot be used."""
    path = Path(row.path)
    cells: dict[str, str | int] = {"path": row.path, "reason": row.reason, "bytes": "", "sha256": ""}
    if not path.is_absolute():
        return cells
    cells["path"] = workspace.relative(path)
    try:
        if path.is_file():
            cells |= {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
    except OSError as error:  # the row says why it cannot be hashed either
        cells["reason"] = f"{row.reason} ({(error.strerror or 'cannot be read').lower()})"
    return cells


def copy_into(workspace: Workspace, entry: Entry) -> str:
    """Copy an image's file to `dataset/images/<image id>` unless it is there, and return its manifest path.

    An archive is copied once, whole.
    """
    file, member = _parts(entry)
    name = entry.image_id if member is None else f"{entry.image_id.removesuffix(member)}{file.name}"
    target = workspace.manifest_path.parent / "images" / name
    if not target.is_file() or (member is None and sha256_of_file(target) != sha256_of_file(file)):
        with atomic_path(target) as temporary:
            shutil.copyfile(file, temporary)
    return workspace.relative(target) + (f"#{member}" if member else "")


def _parts(entry: Entry) -> tuple[Path, str | None]:
    """Return (file, member); the file itself where its name only looks like a member of an archive."""
    if Path(entry.path).is_file():
        return Path(entry.path), None
    file, member = split_member(entry.path)
    return Path(file), member


def _cells(entry: Entry, decoded: DecodedImage, content: str) -> dict[str, str | int]:
    facts = {name: decoded.facts[name] for name in _KEPT_FACTS if name in decoded.facts}
    return {
        "image_id": entry.image_id,
        "label": entry.label,
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
