"""The rows of a table of labels as images, whatever their key means."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from medimg_cli.dataset.layouts.label_columns import Labelling, choose_labelling
from medimg_cli.dataset.layouts.labels_file import Table, guess_column, plain, require_column
from medimg_cli.dataset.layouts.table_files import File, Finder
from medimg_cli.dataset.listing import Column, Entry, Listing, Rejected
from medimg_cli.dataset.manifest import COLUMNS, UNKNOWN_COLUMN
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings

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
        "accessionnumber",
        "studyinstanceuid",
        "seriesinstanceuid",
        "sopinstanceuid",
    ]
)
"""Columns nobody needs as a subgroup and no manifest should hold; compared as `labels_file.plain` writes them."""


@dataclass(frozen=True)
class Roles:
    """Which column means what.

    Args:
        key: tells the image, the series or the study.
        guessed: "role: column" of those nobody named.
    """

    key: str
    labelling: Labelling
    patient: str | None
    split: str | None
    guessed: tuple[str, ...]


def choose_roles(table: Table, settings: IngestSettings, key: str | None = None) -> Roles:
    """Return which column means what: the named ones, and the rest by common names where only one fits.

    Args:
        key: the layout knows it already.

    Raises:
        UsageError: a named column is not there; nothing or more than one could be image or label, or more
            than one could be the patient (guessing wrong there would let a patient into two splits).
    """
    named = {"image": settings.image_col, "patient": settings.patient_col}
    for role, name in named.items():
        if name is not None:
            require_column(table, name, f"--{role}-col")
    if settings.use_split_col is not None:
        require_column(table, settings.use_split_col, "--use-split-col")
    taken = [
        name
        for name in (*named.values(), settings.label_col, settings.use_split_col, key)
        if name is not None
    ]
    image = key or named["image"] or guess_column(table, "image", taken, required=True)
    patient = named["patient"] or guess_column(table, "patient", taken)
    used = [name for name in (image, patient, settings.use_split_col) if name is not None]
    labelling = choose_labelling(table, settings, used)
    guesses = (
        ("image", image, key or named["image"]),
        ("label", labelling.columns[0], settings.label_col or (len(labelling.columns) > 1)),
        ("patient", patient, named["patient"]),
    )
    guessed = tuple(f"{role}: {name}" for role, name, said in guesses if name and not said)
    return Roles(str(image), labelling, patient, settings.use_split_col, guessed)


class RowReader:
    """Turns rows into entries, one row after the other."""

    def __init__(self, table: Table, roles: Roles, finder: Finder) -> None:
        self._table = table
        self._roles = roles
        self._finder = finder
        self._carried = {**_carried(table, roles), **roles.labelling.kept}
        self.entries: dict[str, Entry] = {}
        self.rejected: list[Rejected] = list(finder.rejected)
        self.repeats = 0

    def read(self, line: int, cells: dict[str, str]) -> None:
        """Add the images of a row, or the reason why it has none."""
        value = cells[self._roles.key]
        files = self._finder.find(value) if value else "no file is named"
        if isinstance(files, str):
            self.rejected.append(Rejected(value or f"{self._table.path.name} line {line}", files))
            return
        label, reason = self._roles.labelling.verdict(cells)
        for file in files:
            self._take(file, label, reason, cells, f"{self._table.path} line {line}")

    def _take(self, file: File, label: str | None, reason: str, cells: dict[str, str], place: str) -> None:
        roles = self._roles
        if file.path in self.entries:
            _refuse_other_label(self.entries[file.path], label, place)
            self.repeats += 1
        elif label is None:
            self.rejected.append(Rejected(file.path, reason))
        else:
            self.entries[file.path] = Entry(
                image_id=file.image_id,
                path=file.path,
                label=label,
                relative=file.relative,
                patient_id=(cells[roles.patient] or None) if roles.patient else None,
                split=_split(cells[roles.split], place) if roles.split else None,
                extra={name: cells[column] for column, name in self._carried.items()}
                | roles.labelling.not_judged(cells),
            )


def list_rows(table: Table, roles: Roles, finder: Finder, notes: tuple[str, ...] = ()) -> Listing:
    """List the images a table names; rows without file and files without row are rejected, each with its reason.

    Raises:
        DataError: an image has two labels, or a split is called something unknown.
    """
    reader = RowReader(table, roles, finder)
    for line, cells in table.rows:
        reader.read(line, cells)
    seen = reader.entries.keys() | {row.path for row in reader.rejected}
    reader.rejected += finder.others(dict.fromkeys(seen))
    said = (*notes, *_notes(table, roles, reader.repeats))
    entries, classes = tuple(reader.entries.values()), roles.labelling.classes
    source = f"column {', '.join(roles.labelling.columns)} of {table.path.name}"
    return Listing(entries, tuple(reader.rejected), classes, said, _columns(table, roles), source)


def _columns(table: Table, roles: Roles) -> tuple[Column, ...]:
    """Return every column, what it is taken for, and its commonest values."""
    roles_of = {roles.split: "split", roles.patient: "patient", roles.key: "image"}
    roles_of |= dict.fromkeys(roles.labelling.columns, "label")
    found = []
    for name in table.columns:
        values = Counter(cells[name] for _, cells in table.rows if cells[name])
        left_out = "left out: may identify people" if plain(name) in _IDENTITIES else "carried along"
        common = tuple(value for value, _ in values.most_common(5))
        found.append(Column(name, roles_of.get(name, left_out), common, len(values)))
    return tuple(found)


def _used(roles: Roles) -> set[str | None]:
    return {roles.key, roles.patient, roles.split, *roles.labelling.columns}


def _carried(table: Table, roles: Roles) -> dict[str, str]:
    """Return column → its name in the manifest, for every column that goes along."""
    return {
        column: f"table_{column}" if column in (*COLUMNS, UNKNOWN_COLUMN, "fold") else column
        for column in table.columns
        if column not in _used(roles) and plain(column) not in _IDENTITIES
    }


def _notes(table: Table, roles: Roles, repeats: int) -> Iterator[str]:
    if roles.guessed:
        yield f"{table.path.name}: columns taken by their names: {', '.join(roles.guessed)}"
    if roles.labelling.note:
        yield roles.labelling.note
    dropped = [name for name in table.columns if plain(name) in _IDENTITIES and name not in _used(roles)]
    if dropped:
        yield f"left out, as they may identify people: {', '.join(dropped)}"
    if repeats:
        yield f"{repeats} rows of {table.path.name} repeat an image with the same label"


def _split(value: str, place: str) -> str | None:
    if not value:
        return None
    if value.lower() not in SPLIT_NAMES:
        raise DataError(f"{place}: '{value}' is no split", f"known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[value.lower()]


def _refuse_other_label(entry: Entry, label: str | None, place: str) -> None:
    if label is not None and label != entry.label:
        raise DataError(
            f"{place}: {entry.image_id} is '{label}' here and '{entry.label}' above", "keep one row an image"
        )
