"""De-identified copies of what an ingest reads, and of its table of labels; ingest then reads the copies."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medimg_cli.dataset.layouts.labels_file import guess_column, read_labels_file
from medimg_cli.dataset.layouts.table_files import File, FilesByName, folder_of
from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Rejected, Source
from medimg_cli.errors import DataError, UsageError
from medimg_cli.privacy.dicom.header_values import IdentityValues
from medimg_cli.privacy.forms.manifest_columns import identities_in_column
from medimg_cli.privacy.removal.deidentify_file import (
    Deidentifier,
    Original,
    Outcome,
    folders_of_sources,
    forget_killed_runs,
    map_path,
    update_map,
    write_log,
)
from medimg_cli.privacy.removal.pixel_masking import TextMask
from medimg_cli.privacy.removal.profile import profile_of
from medimg_cli.privacy.removal.pseudonyms import CleanNames, Pseudonyms, read_or_make_key
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.settings import DeidentifySettings, IngestSettings
from medimg_cli.workspace.spreadsheets import Table
from medimg_cli.workspace.workspace import Workspace


def originals_of(
    source: Path, ignored: frozenset[Path] = frozenset()
) -> tuple[list[Original], list[Outcome]]:
    """Return the files of a folder, an archive or a single file; and what is there but cannot be opened.

    Args:
        source: absolute.
        ignored: absolute paths inside it that are no input.

    Raises:
        DataError: it cannot be read, or the archive is damaged.
    """
    listed = Source(source, ignored=ignored)
    kind = kind_of(listed)
    if kind not in ("folder", "archive"):
        return [Original(source.name, source)], []
    tree = contents(listed)
    inside = kind == "archive"
    files = [
        Original(name, source if inside else source / name, name if inside else None) for name in tree.files
    ]
    refused = [
        Outcome(
            Original(PurePosixPath(row.path).name, source), PurePosixPath(row.path).name, "", {}, row.reason
        )
        for row in tree.rejected
    ]
    return files, refused


_UID = re.compile(r"[0-2](?:\.(?:0|[1-9]\d*)){5,}")


@dataclass(frozen=True)
class CleanSources:
    """What to read in place of the originals.

    Args:
        paths: the copies, in the order of the sources.
        settings: with the clean table of labels where there is one.
        rejected: files without a copy; their paths are as in the copy, the map beside the key has them plain.
    """

    paths: tuple[Path, ...]
    settings: IngestSettings
    rejected: tuple[Rejected, ...]


def clean_sources(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    cleaning: DeidentifySettings,
    remarks: Remarks,
) -> CleanSources:
    """Write clean copies of `sources` into `dataset/images/` and return what to read there.

    The same files and key give the same copies and so the same image ids and splits. A copy whose original is gone
    goes as well.

    Raises:
        DataError: a source does not exist, or the key file holds no key.
        UsageError: a source is itself a copy.
        MachineError: the workspace cannot be written.
    """
    _check(workspace, sources)
    key = (cleaning.key or workspace.root / "deidentify.key").absolute()
    forget_killed_runs(workspace.manifest_path.parent, key)
    pseudonyms, made = read_or_make_key(key)
    if made:
        remarks.note(f"new key {key}: keep it and the map beside it apart from the data set, and safe")
    profile = profile_of(cleaning)
    mask = TextMask() if cleaning.mask_text else None
    worker = Deidentifier(profile, pseudonyms, cleaning.names, mask, cleaning.decode_seconds)
    artefacts = workspace.artefacts
    ignored = frozenset([*artefacts, key, map_path(key), workspace.settings_path])
    if settings.labels is not None:
        ignored |= {settings.labels.absolute()}
    images = workspace.manifest_path.parent / "images"
    paths: list[Path] = []
    outcomes: list[Outcome] = []
    for source in (path.absolute() for path in sources):
        originals, refused = originals_of(source, ignored)
        is_single = len(originals) == 1 and originals[0].path == source and originals[0].member is None
        folder = images / _folder_name(source, map_path(key), pseudonyms)
        done = [*worker.files(originals, folder, remarks.progress), *refused]
        _forget(folder, {outcome.name for outcome in done if outcome.written})
        update_map(map_path(key), source, done, folder=folder.name)
        paths.append(folder / done[0].name if is_single and done[0].written else folder)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes += done
    write_log(workspace.manifest_path.parent, outcomes, profile)
    rejected = tuple(
        Rejected(outcome.name, f"not de-identified: {outcome.reason}")
        for outcome in outcomes
        if not outcome.written
    )
    return CleanSources(tuple(paths), _with_clean_table(workspace, settings, outcomes, pseudonyms), rejected)


def _check(workspace: Workspace, sources: Sequence[Path]) -> None:
    """Refuse what is not there, and copies of an earlier run as originals: they would be written over."""
    copies = workspace.manifest_path.parent.resolve()
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} does not exist", "check the path")
        if source.resolve().is_relative_to(copies):
            raise UsageError(f"{source} lies among the copies", "name the folder of the originals")


def _folder_name(source: Path, key_map: Path, pseudonyms: Pseudonyms) -> str:
    """Return what the copy of a source is called: as before, else by its own name where that tells nothing."""
    known = folders_of_sources(key_map)
    if str(source) in known:
        return known[str(source)]
    name = source.name if source.is_dir() else source.name.split(".")[0]
    plain = CleanNames(pseudonyms, IdentityValues(), [], "auto").of(f"{name}/x").split("/")[0]
    taken = set(known.values())
    free = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in free if name not in taken)


def _forget(folder: Path, written: set[str]) -> None:
    """Remove copies whose originals are gone, or can no longer be cleaned."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file() and path.relative_to(folder).as_posix() not in written:
            path.unlink()


def _with_clean_table(
    workspace: Workspace, settings: IngestSettings, outcomes: Sequence[Outcome], pseudonyms: Pseudonyms
) -> IngestSettings:
    """Return the settings with a table that names the copies and no patient; as they are without a table."""
    if settings.labels is None:
        return settings
    table = read_labels_file(settings)
    patient = settings.patient_col or guess_column(table, "patient", [])
    image = settings.image_col or guess_column(table, "image", [])
    names = _new_names(outcomes)
    loose = FilesByName([], Path())
    for outcome in outcomes:
        loose.add(File(outcome.name, outcome.original.relative, outcome.original.relative))
    telling = _telling_cells(table, settings, patient)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(table.columns)
    before = table.rows[0][0]
    for number, (line, cells) in enumerate(table.rows):
        if line > before + 1:  # what stands below a gap may be no row of the table
            writer.writerow(())
        before = line
        if image is not None and cells[image] not in names and cells[image]:
            found = loose.find(cells[image])
            names[cells[image]] = cells[image] if isinstance(found, str) else _new_name(cells[image], found)
        writer.writerow(
            ""
            if (number, column) in telling
            else _clean_cell(cells[column], column == patient, names, pseudonyms)
            for column in table.columns
        )
    path = workspace.manifest_path.parent / "labels.csv"
    write_text(path, target.getvalue())
    return settings.model_copy(update={"labels": path, "sheet": None})


def _clean_cell(text: str, is_patient: bool, names: dict[str, str], pseudonyms: Pseudonyms) -> str:
    if is_patient:
        return pseudonyms.patient(text) if text else ""
    return pseudonyms.uid(text) if _UID.fullmatch(text) else names.get(text, text)


def _new_names(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return how tables name an original → its copy: by path, by name, and by name without suffix."""
    pairs = [(PurePosixPath(o.original.relative), PurePosixPath(o.name)) for o in outcomes]
    found = {old.stem: new.stem for old, new in pairs}
    found |= {old.name: new.name for old, new in pairs}
    return found | {old.as_posix(): new.as_posix() for old, new in pairs}


def _new_name(name: str, found: Sequence[File]) -> str:
    """Return what the copy of a file is called, or of the folder that a name means."""
    new = PurePosixPath(found[0].image_id)
    depth = len(PurePosixPath(folder_of(found[0], name)).parts) if len(found) > 1 else len(new.parts)
    return PurePosixPath(*new.parts[:depth]).as_posix()


def _telling_cells(table: Table, settings: IngestSettings, patient: str | None) -> set[tuple[int, str]]:
    """Return (row, column) of cells that name somebody, in columns that say neither image nor patient nor class."""
    image = settings.image_col or guess_column(table, "image", [])
    label = settings.label_col or guess_column(table, "label", [])
    spared = {image, patient, settings.use_split_col, *(label or "").split(",")}
    return {
        (row, column)
        for column in table.columns
        if column not in spared
        for found in identities_in_column(column, [cells[column] for _, cells in table.rows])
        if "UID" not in found.words
        for row in found.rows
    }
