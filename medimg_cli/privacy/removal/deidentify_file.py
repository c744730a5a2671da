"""De-identification of one file, whatever it is; of the many files of a source; and the log and map it leaves."""

import csv
import glob
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medimg_cli import __version__
from medimg_cli.images.archives import read_member
from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import HEAD_BYTES, UnreadableImage, sniff_format
from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest, merge
from medimg_cli.privacy.dicom.rules import edition
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.deidentify_raster import RASTER_FORMATS, deidentify_raster
from medimg_cli.privacy.removal.pixel_masking import TextMask
from medimg_cli.privacy.removal.profile import CannotDeidentify, CleanFile, Profile, Verb
from medimg_cli.privacy.removal.pseudonyms import CleanNames, NameRule, Pseudonyms
from medimg_cli.workspace.files import atomic_path, remove_leftovers, write_text
from medimg_cli.workspace.plain_text import quoting_of, shielded, unshielded
from medimg_cli.workspace.progress import Progress, tracked
from medimg_cli.workspace.threads import map_ordered, takes_too_long

_LARGEST_BYTES = 4 << 30
_ARCHIVES = ("zip", "tar", "gzip")
_ARRAYS = ("npz", "npy")


@dataclass(frozen=True)
class Original:
    """One file to be de-identified.

    Args:
        relative: posix path in its source.
        path: the file, or the archive it is a member of.
        member: its name in the archive, None for a plain file.
    """

    relative: str
    path: Path
    member: str | None = None

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            CannotDeidentify: it cannot be read.
        """
        try:
            if self.member is not None:
                return read_member(self.path, self.member)
            if self.path.stat().st_size > _LARGEST_BYTES:
                raise CannotDeidentify("more than 4 GiB in one file")
            return self.path.read_bytes()
        except UnreadableImage as error:
            raise CannotDeidentify(str(error)) from error
        except OSError as error:
            raise CannotDeidentify((error.strerror or "cannot be read").lower()) from error


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Args:
        name: posix path of the copy in its folder; where none was written, what it would have been: the original
            path may name somebody.
        kind: dicom, jpeg, …; "" for what is no image.
        counts: what was done → how often.
        reason: why there is no copy, "" where there is one.
    """

    original: Original
    name: str
    kind: str
    counts: dict[str, int]
    reason: str = ""

    @property
    def written(self) -> bool:
        return not self.reason


@dataclass(frozen=True)
class Deidentifier:
    """Everything that decides what a copy looks like: the same four and the same file give the same bytes.

    Args:
        mask: blanks text in the pixels, None to leave them as they are.
        seconds: one file may take; one that takes longer is not written.
    """

    profile: Profile
    pseudonyms: Pseudonyms
    names: NameRule = "auto"
    mask: TextMask | None = None
    seconds: float = math.inf

    def content(self, content: bytes) -> tuple[str, CleanFile]:
        """Return the kind of a file and its clean copy.

        Raises:
            CannotDeidentify: it is no image, or cannot be cleaned.
        """
        kind = sniff_format(content[:HEAD_BYTES])
        if kind == "dicom":
            masking = None if self.mask is None else self.mask.dicom
            return kind, deidentify_dicom(content, self.profile, self.pseudonyms, masking)
        if kind in RASTER_FORMATS:
            masked = 0
            if self.mask is not None:
                content, masked = self.mask.picture(content, kind)
            clean = deidentify_raster(content, kind)
            clean.counts.update({"text_regions_masked": masked})
            return kind, clean
        if kind in _ARRAYS:
            return kind, CleanFile(_bare_arrays(content, kind))
        if kind in _ARCHIVES:
            raise CannotDeidentify(
                "an archive inside the source; name it as a source of its own, or unpack it"
            )
        if kind is not None:
            raise CannotDeidentify(
                f"a {kind} file, whose parts medimg cannot clean; convert it to PNG or TIFF first"
            )
        raise CannotDeidentify("no image; what tables and texts say of people is left to you")

    def files(self, originals: Sequence[Original], folder: Path, progress: Progress) -> Iterator[Outcome]:
        """Write the clean copies of a source into `folder` and yield what became of each file, in order.

        A copy is looked through before it appears, whole. One that stands already with the same bytes stays.

        Raises:
            MachineError: the folder cannot be written.
        """
        values = IdentityValues()
        if self.names != "keep":
            nothing = IdentityValues()
            headers = map_ordered(
                _header_values, originals, seconds=self.seconds, late=lambda _: nothing, task="headers"
            )
            values = merge(tracked(headers, progress, "reading headers", total=len(originals)))
        names = CleanNames(self.pseudonyms, values, [original.relative for original in originals], self.names)

        given_up: set[str] = set()

        def one(original: Original) -> Outcome:
            return self._write(original, folder, names.of(original.relative), given_up)

        def late(original: Original) -> Outcome:
            given_up.add(original.relative)
            return Outcome(original, names.of(original.relative), "", {}, takes_too_long(self.seconds))

        outcomes = map_ordered(one, originals, seconds=self.seconds, late=late, task="deidentify")
        yield from tracked(outcomes, progress, "de-identifying", total=len(originals))

    def _write(self, original: Original, folder: Path, name: str, given_up: set[str]) -> Outcome:
        try:
            kind, clean = self.content(original.read())
        except CannotDeidentify as error:
            return Outcome(original, name, "", {}, str(error))
        target = folder / name
        if original.relative in given_up:  # it is reported as not written
            return Outcome(original, name, kind, {}, takes_too_long(self.seconds))
        if not target.is_file() or target.read_bytes() != clean.content:
            with atomic_path(target) as temporary:
                temporary.write_bytes(clean.content)
        return Outcome(original, name, kind, dict(clean.counts))


def _header_values(original: Original) -> IdentityValues:
    """Return what the header of a DICOM file says of people, nothing for any other file."""
    try:
        if original.member is None:
            with original.path.open("rb") as stream:
                if sniff_format(stream.read(HEAD_BYTES)) != "dicom":
                    return IdentityValues()
        content = original.read()
        if sniff_format(content[:HEAD_BYTES]) != "dicom":
            return IdentityValues()
        with quiet_decoding():
            return harvest(header_of(io.BytesIO(content)))
    except Exception:  # its errors are reported when it is cleaned
        return IdentityValues()


def _bare_arrays(content: bytes, kind: str) -> bytes:
    """Return an array file with its numbers alone: comments and further members of the zip are gone.

    Raises:
        CannotDeidentify: it holds texts or objects, or is damaged.
    """
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"": loaded} if kind == "npy" else {name: loaded[name] for name in loaded.files}
    except Exception as error:  # numpy raises what zipfile and pickle happen to raise
        raise CannotDeidentify(f"a damaged array file, or one of objects ({type(error).__name__})") from error
    if any(array.dtype.kind not in "biufc" for array in arrays.values() if hasattr(array, "dtype")):
        raise CannotDeidentify("an array file that holds texts")
    target = io.BytesIO()
    if kind == "npy":
        np.save(target, arrays[""], allow_pickle=False)
    else:
        np.savez(target, **arrays)
    return target.getvalue()


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
