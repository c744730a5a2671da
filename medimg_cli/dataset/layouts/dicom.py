"""A tree of DICOM files, labelled by a table that names files, images, series, studies or patients."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medimg_cli.dataset.layouts import LAYOUTS, Layout
from medimg_cli.dataset.layouts.labels_file import (
    KEYS,
    columns_called,
    is_image_column,
    level_of,
    names_uids,
    read_labels_file,
    require_column,
    uid_columns,
)
from medimg_cli.dataset.layouts.table_files import File, FilesByName
from medimg_cli.dataset.layouts.table_rows import list_rows
from medimg_cli.dataset.layouts.tree import walk
from medimg_cli.dataset.listing import Listing, Rejected, Source
from medimg_cli.errors import DataError, UsageError
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.spreadsheets import Table
from medimg_cli.workspace.threads import map_ordered, takes_too_long

LEVELS = tuple(KEYS)
_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage, PS3.4 annex B.5
_MEDIA_STORAGE_CLASS = "MediaStorageSOPClassUID"


class FilesByUid:
    """The DICOM files of all sources, found by what their headers name them."""

    def __init__(self, sources: Sequence[Source], seconds: float) -> None:
        self.rejected: list[Rejected] = []
        self.loosely: dict[str, str] = {}
        self.files: list[File] = []
        self._index: dict[str, dict[str, list[File]]] = {level: {} for level in LEVELS}
        self.level = LEVELS[0]
        for source in sources:
            tree = walk(source)
            self.rejected += tree.rejected
            listed = [File(f"{source.prefix}{name}", f"{tree.base}{name}", name) for name in tree.files]
            headers = map_ordered(
                _uids, listed, seconds=seconds, late=lambda _: takes_too_long(seconds), task="headers"
            )
            for file, uids in zip(listed, headers, strict=True):
                if isinstance(uids, str):
                    self.rejected.append(Rejected(file.path, uids))
                    continue
                self.files.append(file)
                for level, uid in uids.items():
                    self._index[level].setdefault(uid, []).append(file)

    def matches(self, table: Table, column: str, level: str) -> int:
        """Return how many rows name what is there of a level."""
        return sum(cells[column] in self._index[level] for _, cells in table.rows)

    def find(self, value: str) -> Sequence[File] | str:
        """Return every file that a header names so."""
        return self._index[self.level].get(value) or f"no file has this {self.level}"

    def others(self, used: Mapping[str, object]) -> Iterable[Rejected]:
        """Yield the files no row means."""
        return (
            Rejected(file.path, "not in the table of labels") for file in self.files if file.path not in used
        )


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why `source` is no folder of DICOM files with a table, or None."""
    if settings.labels is None:
        return "no --labels FILE"
    if not source.path.is_dir():
        return "not a folder"
    if settings.layout == "auto" and not names_uids(read_labels_file(settings), settings.image_col):
        return "the table names no DICOM UIDs"
    return None


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List the DICOM files a table labels, by file name, SOP, series or study instance UID, accession number or patient.

    Only headers are read, up to the pixels. Indexes (DICOMDIR) and files that are no DICOM are rejected.

    Raises:
        DataError: the table is unusable, names no UID that is there, or an image has two labels.
        UsageError: a column is missing or cannot be told.
    """
    table = read_labels_file(settings)
    files = FilesByUid(sources, settings.decode_seconds)
    key = _key_column(table, settings, files)
    if key is None:
        by_name = FilesByName([], table.path.absolute().parent)
        by_name.rejected = files.rejected
        for file in files.files:
            by_name.add(file)
        return list_rows(table, settings, by_name)
    level = _level(table, key, files)
    files.level = level
    note = f"{table.path.name}: '{key}' names images by {level}"
    return list_rows(table, settings, files, key, (note,))


def _key_column(table: Table, settings: IngestSettings, files: FilesByUid) -> str | None:
    """Return the column of what headers name, or None where the table goes by file names."""
    named = settings.image_col
    if named is not None:
        require_column(table, named, "--image-col")
        if names_uids(table, named):
            return named
        called_otherwise = not is_image_column(named)
        return (
            named if called_otherwise and any(files.matches(table, named, each) for each in LEVELS) else None
        )
    if any(is_image_column(name) for name in table.columns) and not names_uids(table, None):
        return None
    columns = uid_columns(table) or columns_called(table, KEYS)
    if not columns:
        raise UsageError(
            f"{table.path}: no column looks like a file name, a DICOM UID, an accession number or a patient",
            f"name it with --image-col; there are {', '.join(table.columns[:20])}",
        )
    return columns[0]


def _level(table: Table, column: str, files: FilesByUid) -> str:
    """Return the level that a column's values are of: by its name, else by what is found in the headers."""
    named = level_of(column, KEYS)
    if named is not None:
        return named
    found = {level: files.matches(table, column, level) for level in LEVELS}
    best = max(LEVELS, key=lambda level: found[level])
    if not found[best]:
        raise DataError(
            f"{table.path}: no UID in '{column}' is in the header of any file",
            "check that the table goes with the files",
        )
    return best


def _uids(file: File) -> dict[str, str] | str:
    """Return level → what a file's header names it, or why it cannot be an image."""
    path = Path(file.path)
    try:
        if path.name.upper() == "DICOMDIR":
            return "DICOMDIR: an index of the folder, no image"
        if not is_dicom(path):
            return "not a DICOM file"
        header = header_of(path, list(LEVELS))
        if str(header.file_meta.get(_MEDIA_STORAGE_CLASS, "")) == _DIRECTORY:
            return "DICOMDIR: an index of the folder, no image"
        return {level: str(header.get(level)).strip() for level in LEVELS if header.get(level)}
    except OSError as error:
        return (error.strerror or "cannot be read").lower()
    except Exception as error:  # damaged bytes make pydicom raise what struct and Python happen to raise
        return f"damaged DICOM header: {' '.join(str(error).split()) or type(error).__name__}"


LAYOUTS.register("dicom")(
    Layout(
        summary="DICOM files and a table by file, UID, accession number or patient (--labels FILE)",
        misfit=misfit,
        list_images=list_images,
    )
)
