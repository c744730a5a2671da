"""De-identify: clean copies of DICOM files and pictures; the originals stay as they are."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.dataset.layouts.clean_sources import originals_of
from medimg_cli.errors import DataError, UsageError
from medimg_cli.privacy.dicom.rules import edition
from medimg_cli.privacy.removal.deidentify_file import (
    COUNTS,
    IDENTITY_COUNTS,
    LOG_NAME,
    Deidentifier,
    forget_killed_runs,
    map_path,
    update_map,
    write_log,
)
from medimg_cli.privacy.removal.pixel_masking import TextMask
from medimg_cli.privacy.removal.profile import profile_of
from medimg_cli.privacy.removal.pseudonyms import read_or_make_key
from medimg_cli.workspace.progress import Progress, Remarks, SilentProgress
from medimg_cli.workspace.settings import DeidentifySettings
from medimg_cli.workspace.threads import in_part
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class NotWritten:
    """A file without a copy.

    Args:
        path: in the source; parts that look like an identity are coded, the map beside the key has them plain.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class DeidentifyResult:
    """What was done.

    Args:
        identities_removed: attributes removed, emptied, replaced or shifted, and entries beside the pixels of
            pictures removed, over all files.
        counts: `deidentified_log.COUNTS` → over all files.
        log: one row a file, without the values.
        key: what the pseudonyms were made with; `key_made` says that it is new.
        map: which original became which copy; as secret as the key.
    """

    files: int
    written: int
    not_written: tuple[NotWritten, ...]
    identities_removed: int
    counts: dict[str, int]
    edition: str
    profile: str
    log: Path
    key: Path
    key_made: bool
    map: Path
    notes: tuple[str, ...]


def deidentify(
    workspace: Workspace,
    source: Path,
    destination: Path,
    settings: DeidentifySettings,
    progress: Progress = SilentProgress(),
) -> DeidentifyResult:
    """Write de-identified copies of everything in `source` into `destination`.

    Every copy is searched as the audit searches before it is put in place; what cannot be cleaned is not written and is
    named. The same files, settings and key give the same bytes, so an interrupted run is simply started again.

    Args:
        source: a folder, an archive (.zip, .tar, .tar.gz) or a file.
        destination: a folder that is empty, new, or the destination of an earlier run.

    Raises:
        UsageError: source, destination and key stand in each other.
        DataError: the source does not exist or holds nothing, or the key file holds no key.
        MachineError: the destination or the key cannot be written.
    """
    remarks = Remarks(progress)
    key = (settings.key or workspace.root / "deidentify.key").absolute()
    source, destination = source.absolute(), destination.absolute()
    _check(source, destination, key)
    if not in_part():  # elsewhere others may be writing theirs
        forget_killed_runs(destination, key)
    originals, refused = originals_of(source)
    if not [*originals, *refused]:
        raise DataError(f"{source} holds no files", "name the folder or archive with the images")
    pseudonyms, made = read_or_make_key(key)
    if made:
        text = "keep it apart from the copies, and safe; with it names lead back to patients"
        remarks.note(f"new key {key}: {text}")
    mask, profile = TextMask() if settings.mask_text else None, profile_of(settings)
    if mask is not None and not mask.reads:
        remarks.warn("text is masked unread, markers too; install medimg[ocr] to keep R, L, AP and the like")
    worker = Deidentifier(profile, pseudonyms, settings.names, mask, settings.decode_seconds)
    destination.mkdir(parents=True, exist_ok=True)
    if not (destination / LOG_NAME).is_file():  # first of all: it tells a later run whose folder this is
        write_log(destination, [], profile)
    outcomes = [*worker.files(originals, destination, progress), *refused]
    log = write_log(destination, outcomes, profile)
    update_map(map_path(key), source, outcomes)
    if mask is None:
        remarks.note("text inside the pixels was not looked for; --mask-text blanks it")
    counts = Counter(name for outcome in outcomes for name in Counter(outcome.counts).elements())
    return DeidentifyResult(
        files=len(outcomes),
        written=sum(outcome.written for outcome in outcomes),
        not_written=tuple(NotWritten(o.name, o.reason) for o in outcomes if not o.written),
        identities_removed=sum(counts[name] for name in IDENTITY_COUNTS),
        counts={name: counts[name] for name in COUNTS},
        edition=edition(),
        profile=profile.words,
        log=log,
        key=key,
        key_made=made,
        map=map_path(key),
        notes=tuple(remarks.messages),
    )


def _check(source: Path, destination: Path, key: Path) -> None:
    """Refuse places where an original could be written over or lie among the copies."""
    if not source.exists():
        raise DataError(f"{source} does not exist", "check the path")
    real, target = source.resolve(), destination.resolve()
    if target == real or target.is_relative_to(real):
        raise UsageError(f"{destination} lies in the source", "choose a folder outside it")
    if real.is_relative_to(target):
        raise UsageError(f"{source} lies in the destination", "choose another folder for the copies")
    if key.resolve().is_relative_to(target):
        raise UsageError(f"the key {key} would lie among the copies", "name a file elsewhere with --key FILE")
    foreign = destination.is_dir() and any(path.suffix != ".tmp" for path in destination.iterdir())
    if foreign and not (destination / LOG_NAME).is_file():
        raise UsageError(f"{destination} is not empty", "choose a new folder for the copies")
    if destination.exists() and not destination.is_dir():
        raise UsageError(f"{destination} is a file", "choose a folder for the copies")
