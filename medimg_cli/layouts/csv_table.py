"""A table of labels beside a folder of images: `--labels FILE`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medimg_cli.core.config import IngestSettings
from medimg_cli.core.labels import natural_order
from medimg_cli.core.listing import Entry, Listing, Rejected, Source
from medimg_cli.core.manifest import COLUMNS
from medimg_cli.errors import DataError
from medimg_cli.layouts import LAYOUTS, SPLIT_NAMES, Layout
from medimg_cli.layouts.labels_file import (
    Columns,
    Table,
    choose_columns,
    plain,
    read_labels_file,
    require_column,
)
from medimg_cli.layouts.tree import walk

_IDENTITIES = frozenset(
    [
        "name",
        "patientname",
        "fullname",
        "firstname",
        "lastname",
        "surname",
        "givenname",
        "familyname",
        "birthdate",
        "dateofbirth",
        "dob",
        "mrn",
        "ssn",
        "address",
        "phone",
        "telephone",
        "email",
    ]
)
"""Columns nobody needs as a subgroup and no manifest should hold; compared as `labels_file.plain` writes them."""


@dataclass(frozen=True)
class _File:
    """A file a row may mean: its id, its path as a text, its path relative to its source."""

    image_id: str
    path: str
    relative: str


class _Files:
    """The files of all sources, found by what a table may call them."""

    def __init__(self, sources: Sequence[Source], table: Table) -> None:
        self._sources = sources
        self._table_folder = table.path.absolute().parent
        self._by_path: dict[str, _File] = {}
        self._by_name: dict[str, list[_File]] = {}
        self.rejected: list[Rejected] = []
        for source in sources:
            tree = walk(source)
            self.rejected += tree.rejected
            for relative in tree.files:
                file = _File(f"{source.prefix}{relative}", f"{source.path.as_posix()}/{relative}", relative)
                self._by_path[file.path] = file
                name = PurePosixPath(relative)
                for key in {name.name, name.stem}:
                    self._by_name.setdefault(key, []).append(file)

    def find(self, value: str) -> _File | str:
        """Return the file a cell means, or why there is none.

        A path counts from a source, then from the table's folder; else it is the end of exactly one file's
        path, with or without the suffix.
        """
        wanted = value.replace("\\", "/").removeprefix("./")
        folders = [*(source.path for source in self._sources), self._table_folder]
        for folder in folders:
            path = Path(os.path.normpath(folder / wanted)).as_posix()
            if path in self._by_path:
                return self._by_path[path]
            if Path(path).is_file():
                return _File(path.lstrip("/"), path, wanted)
        near = [
            file for file in self._by_name.get(PurePosixPath(wanted).name, []) if _ends_with(file, wanted)
        ]
        if len(near) > 1:
            return f"several files are called {value}"
        return near[0] if near else "file not found"

    def others(self, used: Mapping[str, object]) -> Iterable[Rejected]:
        """Yield the files no row means."""
        for path in self._by_path:
            if path not in used:
                yield Rejected(path, "not in the table of labels")


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why there is no table for `source`, or None."""
    if settings.labels is None:
        return "no --labels FILE"
    return None if source.path.is_dir() else "not a folder"


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List the images a table names; rows without file and files without row are rejected, each with its reason.

    Raises:
        DataError: the table is unusable, an image has two labels, or a split is called something unknown.
        UsageError: a column is missing or cannot be told.
    """
    if settings.labels is None:
        raise DataError("no table of labels", "name it with --labels FILE")
    table = read_labels_file(settings.labels)
    columns = choose_columns(table, settings.image_col, settings.label_col, settings.patient_col)
    split_column = settings.use_split_col
    if split_column is not None:
        require_column(table, split_column, "--use-split-col")
    files = _Files(sources, table)
    carried = _carried(table, columns, split_column)
    entries: dict[str, Entry] = {}
    rejected = list(files.rejected)
    doubles = 0
    for line, cells in table.rows:
        file = files.find(cells[columns.image]) if cells[columns.image] else "no file is named"
        label = cells[columns.label]
        if isinstance(file, str):
            rejected.append(Rejected(cells[columns.image] or f"{table.path.name} line {line}", file))
        elif file.path in entries:
            _refuse_other_label(entries[file.path], label, f"{table.path} line {line}")
            doubles += 1
        elif label:
            split = _split(cells[split_column], f"{table.path} line {line}") if split_column else None
            patient = cells[columns.patient] if columns.patient else None
            extra = {name: cells[column] for column, name in carried.items()}
            entries[file.path] = Entry(
                file.image_id, file.path, label, file.relative, patient or None, split, extra
            )
        else:
            rejected.append(Rejected(file.path, "no label in the table"))
    seen = entries.keys() | {row.path for row in rejected}
    rejected += files.others(dict.fromkeys(seen))
    classes = {cells[columns.label] for _, cells in table.rows if cells[columns.label]}
    notes = list(_notes(table, columns, split_column, doubles))
    if combined := next((name for name in natural_order(classes) if settings.label_sep in name), None):
        notes.append(f"labels such as '{combined}' count as classes of their own")
    return Listing(tuple(entries.values()), tuple(rejected), tuple(natural_order(classes)), tuple(notes))


def _carried(table: Table, columns: Columns, split_column: str | None) -> dict[str, str]:
    """Return column → its name in the manifest, for every column that goes along."""
    used = {columns.image, columns.label, columns.patient, split_column}
    return {
        column: f"table_{column}" if column in COLUMNS else column
        for column in table.columns
        if column not in used and plain(column) not in _IDENTITIES
    }


def _notes(table: Table, columns: Columns, split_column: str | None, doubles: int) -> tuple[str, ...]:
    notes = []
    if columns.guessed:
        notes.append(f"{table.path.name}: columns taken by their names: {', '.join(columns.guessed)}")
    used = {columns.image, columns.label, columns.patient, split_column}
    dropped = [name for name in table.columns if plain(name) in _IDENTITIES and name not in used]
    if dropped:
        notes.append(f"left out, as they may identify people: {', '.join(dropped)}")
    if doubles:
        notes.append(f"{doubles} rows of {table.path.name} repeat an image with the same label")
    return tuple(notes)


def _split(value: str, place: str) -> str | None:
    if not value:
        return None
    if value.lower() not in SPLIT_NAMES:
        raise DataError(f"{place}: '{value}' is no split", f"known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[value.lower()]


def _refuse_other_label(entry: Entry, label: str, place: str) -> None:
    if label and label != entry.label:
        raise DataError(
            f"{place}: {entry.image_id} is '{label}' here and '{entry.label}' above", "keep one row an image"
        )


def _ends_with(file: _File, wanted: str) -> bool:
    whole = f"/{file.relative}"
    return whole.endswith(f"/{wanted}") or whole.removesuffix(PurePosixPath(whole).suffix).endswith(
        f"/{wanted}"
    )


LAYOUTS.register("csv")(
    Layout(summary="a table with a row per image (--labels FILE)", misfit=misfit, list_images=list_images)
)
