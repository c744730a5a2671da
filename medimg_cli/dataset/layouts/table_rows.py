"""The rows of a table of labels as images, whatever their key means."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medimg_cli.dataset.class_names import clean, is_stated
from medimg_cli.dataset.exams import exam_column, exam_pseudonym
from medimg_cli.dataset.layouts.label_columns import Labelling, choose_labelling
from medimg_cli.dataset.layouts.labels_file import guess_column, plain, require_column
from medimg_cli.dataset.layouts.table_files import File, Finder, folder_of
from medimg_cli.dataset.listing import Column, Entry, Listing, Missed, Rejected, missed_text
from medimg_cli.dataset.manifest import COLUMNS, EXAM, UNKNOWN_COLUMN
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.spreadsheets import Table, without_remarks

_IDENTITIES = frozenset(
    """
        name patientname fullname firstname lastname surname givenname familyname birthdate dateofbirth dob
        mrn ssn address phone telephone email accessionnumber studyinstanceuid seriesinstanceuid
        sopinstanceuid
    """.split()
)
"""Columns nobody needs as a subgroup and no manifest should hold; compared as `labels_file.plain` writes them."""
_CUT = re.compile(r"\d([.,]\d+)?e\+\d+", re.IGNORECASE)
_PEOPLE = frozenset("name patientname fullname mrn ssn".split())
_NOBODY = frozenset("unknown unbekannt anonymous anonymized anonymised anonym none missing -".split())


@dataclass(frozen=True)
class Roles:
    """Which column means what.

    Args:
        key: tells the image, the series or the study.
        guessed: "role: column" of those nobody named.
        exam: None where no column tells it.
    """

    key: str
    labelling: Labelling
    patient: str | None
    split: str | None
    guessed: tuple[str, ...]
    exam: str | None = None


def choose_roles(table: Table, settings: IngestSettings, image: str) -> Roles:
    """Return which column means what: the named ones, and the rest by common names where only one fits.

    Args:
        image: the column that tells the image.

    Raises:
        UsageError: a named column is not there; more than one could be the label, or the patient (guessing wrong there
            would let a patient into two splits).
    """
    exam = exam_column(table, settings)
    for name, option in (
        (settings.patient_col, "--patient-col"),
        (settings.use_split_col, "--use-split-col"),
    ):
        if name is not None:
            require_column(table, name, option)
    taken = [
        name
        for name in (image, settings.patient_col, settings.label_col, settings.use_split_col, exam)
        if name is not None
    ]
    patient = settings.patient_col or guess_column(table, "patient", taken)
    used = [name for name in (image, patient, settings.use_split_col, exam) if name is not None]
    labelling = choose_labelling(table, settings, used)
    guesses = (
        ("image", image, settings.image_col),
        ("label", labelling.columns[0], settings.label_col or (len(labelling.columns) > 1)),
        ("patient", patient, settings.patient_col),
    )
    guessed = tuple(f"{role}: {name}" for role, name, given in guesses if name and not given)
    return Roles(image, labelling, patient, settings.use_split_col, guessed, exam)


class RowReader:
    """Turns rows into entries, one row after the other.

    Args:
        found: what each cell of the key column means, or why it means nothing.
    """

    def __init__(
        self,
        table: Table,
        roles: Roles,
        rejected: Sequence[Rejected],
        found: Mapping[str, Sequence[File] | str],
    ) -> None:
        self._table = table
        self._roles = roles
        self._found = found
        self._carried = {**_carried(table, roles), **roles.labelling.kept}
        self._pointed = {name for name in self._carried if _has_decimal_commas(table, name)}
        self._rows: dict[str, int] = {}
        self._patients: dict[str, dict[str, None]] = {}
        self.entries: dict[str, Entry] = {}
        self.rejected: list[Rejected] = list(rejected)
        self.missed: list[Missed] = []
        self.repeats = 0
        self.weak = 0
        self._of_exams = _labels_of_exams(table, roles)

    def read(self, number: int, cells: dict[str, str]) -> None:
        """Add the images of a row, or the reason why it has none."""
        value = cells[self._roles.key]
        files = self._found[value]
        label, reason = self._roles.labelling.verdict(cells)
        if label is None and not any(cells[name] for name in self._roles.labelling.columns):
            label = self._of_exams.get(self._exam(cells))
            self.weak += label is not None
        if isinstance(files, str):
            self.rejected.append(Rejected(value or f"{self._table.name} row {number}", files))
            self.missed.append(Missed(self._table.name, number, value, files, label))
            return
        exam = self._exam(cells)
        if plain(self._roles.exam or "") in _IDENTITIES:
            exam = exam_pseudonym(exam)
        elif not exam and len(files) > 1:
            exam = folder_of(files[0], value)
        for file in files:
            self._take(file, label, reason, cells, number, exam)

    def _exam(self, cells: dict[str, str]) -> str:
        return cells[self._roles.exam] if self._roles.exam else ""

    def _take(
        self, file: File, label: str | None, reason: str, cells: dict[str, str], number: int, exam: str
    ) -> None:
        roles = self._roles
        if file.path in self.entries:
            entry = self.entries[file.path]
            if label is not None and label != entry.label:
                raise DataError(
                    f"{self._table.place(number)}: {entry.image_id} is '{label}' here and '{entry.label}' in row "
                    f"{self._rows[file.path]}",
                    "keep one row an image",
                )
            self.repeats += 1
        elif label is None:
            self.rejected.append(Rejected(file.path, reason))
        else:
            self._rows[file.path] = number
            place = self._table.place(number, roles.split or "")
            self.entries[file.path] = Entry(
                image_id=file.image_id,
                path=file.path,
                label=label,
                relative=file.relative,
                patient_id=self._patient(cells[roles.patient]) if roles.patient else None,
                split=_split(cells[roles.split], place) if roles.split else None,
                exam=exam,
                extra={name: self._shown(column, cells[column]) for column, name in self._carried.items()}
                | roles.labelling.not_judged(cells),
            )

    def _patient(self, cell: str) -> str | None:
        """Return the patient of a cell as it is spelt first; None where it says that nobody knows."""
        shown = clean(cell).casefold()
        if not is_stated(cell) or shown in _NOBODY:
            return None
        number = re.fullmatch(r"(\d{1,18})(?:[.,]0+)?", shown, re.ASCII)
        spelt = self._patients.setdefault(str(int(number[1])) if number else shown, {})
        spelt.setdefault(cell)
        return next(iter(spelt))

    def _shown(self, column: str, cell: str) -> str:
        return cell.replace(".", "").replace(",", ".") if column in self._pointed else cell

    def notes(self, finder: Finder) -> Iterator[str]:
        """Yield what was decided on the way, for people."""
        name = self._table.name
        if self._pointed:
            yield f"{name}: decimal commas are read as points: {', '.join(sorted(self._pointed))}"
        for how, count in Counter(finder.loosely.values()).items():
            example = next(value for value, match in finder.loosely.items() if match == how)
            files = self._found[example]
            if not isinstance(files, str):
                yield f"{name}: {count:,} file names are not as written ({how}): '{example}' is {files[0].relative}"
        if self.weak:
            yield f"{name}: {self.weak:,} rows without a label have that of their exam (column '{self._roles.exam}')"
        if several := sum(len(spelt) > 1 for spelt in self._patients.values()):
            how = "by case, spaces, zeros in front or 12.0 for 12"
            yield f"{name}: {several:,} patients are spelt in several ways ({how}): each counts as one"
        cut = [spelt for names in self._patients.values() for spelt in names if _CUT.fullmatch(spelt)]
        if cut:
            yield (
                f"{name}: patients such as '{cut[0]}' have lost digits in a spreadsheet, so that several may count as "
                "one (keep that column as text)"
            )
        if self.repeats:
            yield f"{self.repeats} rows of {name} repeat an image with the same label"
        if self.missed and self.entries:
            yield missed_text(self.missed)


def list_rows(
    table: Table,
    settings: IngestSettings,
    finder: Finder,
    key: str | None = None,
    notes: tuple[str, ...] = (),
) -> Listing:
    """List the images a table names; rows without file and files without row are rejected, each with its reason.

    Lines below the table (totals, a legend) are left out, which is noted.

    Args:
        key: the column that tells the image, where the layout knows it already.

    Raises:
        DataError: an image has two labels, or a split is called something unknown.
        UsageError: see `choose_roles`; or nothing or more than one could be the image.
    """
    if settings.image_col is not None:
        require_column(table, settings.image_col, "--image-col")
    image = key or settings.image_col
    if image is None:
        taken = [name for name in (settings.patient_col, settings.label_col, settings.use_split_col) if name]
        guessed = guess_column(table, "image", taken) or _by_content(table, taken, finder)
        image = guessed or str(guess_column(table, "image", taken, required=True))
    found = _found(table, image, finder)
    table = without_remarks(table, lambda cells: not isinstance(found[cells[image]], str))
    # A row that names no file, such as one of sums, says nothing of the classes.
    naming = tuple(row for row in table.rows if row[1][image]) or table.rows
    roles = choose_roles(replace(table, rows=naming), settings, image)
    reader = RowReader(table, roles, finder.rejected, found)
    for number, cells in table.rows:
        reader.read(number, cells)
    seen = reader.entries.keys() | {row.path for row in reader.rejected}
    reader.rejected += finder.others(dict.fromkeys(seen))
    remarks = (*table.notes, *notes, *_notes(table, roles), *reader.notes(finder))
    return Listing(
        tuple(reader.entries.values()),
        tuple(reader.rejected),
        roles.labelling.classes,
        remarks,
        _columns(table, roles),
        f"column {', '.join(roles.labelling.columns)} of {table.name}",
        tuple(reader.missed),
    )


def _by_content(table: Table, taken: Sequence[str], finder: Finder) -> str | None:
    """Return the column most of whose cells name a file each, None where there is none or several are as good."""
    sample = table.rows[:: max(1, len(table.rows) // 50)]
    hits = {
        name: sum(
            not isinstance(finder.find(value), str) for value in {cells[name] for _, cells in sample} - {""}
        )
        for name in table.columns
        if name not in taken
    }
    finder.loosely.clear()
    best = max(hits.values(), default=0)
    found = [name for name, count in hits.items() if count == best]
    return found[0] if len(found) == 1 and 2 * best > len(sample) else None


def _found(table: Table, image: str, finder: Finder) -> dict[str, Sequence[File] | str]:
    """Return what each cell of a column means; one file that two cells would mean loosely is meant by neither."""
    found: dict[str, Sequence[File] | str] = {"": "no file is named"}
    meant: dict[str, list[str]] = {}
    for _, cells in table.rows:
        value = cells[image]
        if value not in found:
            files = found[value] = finder.find(value)
            for file in () if isinstance(files, str) else files:
                meant.setdefault(file.path, []).append(value)
    for value in list(finder.loosely):
        files = found[value]
        if not isinstance(files, str):
            others = [other for other in meant[files[0].path] if other != value]
            if others:
                found[value] = f"may be a file that another row names: {files[0].relative} ({others[0]})"
    finder.loosely = {
        value: how for value, how in finder.loosely.items() if not isinstance(found[value], str)
    }
    return found


def _columns(table: Table, roles: Roles) -> tuple[Column, ...]:
    """Return every column, what it is taken for, and its commonest values."""
    roles_of = {roles.split: "split", roles.exam: "exam", roles.patient: "patient", roles.key: "image"}
    roles_of |= dict.fromkeys(roles.labelling.columns, "label")
    found = []
    for name in table.columns:
        values = Counter(cells[name] for _, cells in table.rows if cells[name])
        left_out = "left out: may identify people" if plain(name) in _IDENTITIES else "carried along"
        common = tuple(value for value, _ in values.most_common(5))
        found.append(Column(name, roles_of.get(name, left_out), common, len(values)))
    return tuple(found)


def _labels_of_exams(table: Table, roles: Roles) -> dict[str, str]:
    """Return exam → its label, where the rows that have one agree: it may stand in one row of an exam alone."""
    found: dict[str, set[str]] = {}
    for _, cells in table.rows if roles.exam else ():
        label, _ = roles.labelling.verdict(cells)
        if (
            label is not None
            and cells[str(roles.exam)]
            and any(cells[name] for name in roles.labelling.columns)
        ):
            found.setdefault(cells[str(roles.exam)], set()).add(label)
    return {exam: next(iter(labels)) for exam, labels in found.items() if len(labels) == 1}


def _used(roles: Roles) -> set[str | None]:
    return {roles.key, roles.patient, roles.split, roles.exam, *roles.labelling.columns}


def _carried(table: Table, roles: Roles) -> dict[str, str]:
    """Return column → its name in the manifest, for every column that goes along."""
    return {
        column: f"table_{column}" if column in (*COLUMNS, EXAM, UNKNOWN_COLUMN, "fold") else column
        for column in table.columns
        if column not in _used(roles) and plain(column) not in _IDENTITIES
    }


def _notes(table: Table, roles: Roles) -> Iterator[str]:
    if roles.guessed:
        yield f"{table.name}: columns taken by name or content: {', '.join(roles.guessed)}"
    if roles.labelling.note:
        yield roles.labelling.note
    for name in table.columns if roles.split is None else ():
        if len({SPLIT_NAMES.get(cells[name].lower(), "") for _, cells in table.rows} - {""}) > 1:
            yield f"{table.name}: column '{name}' names splits, which are not taken (--use-split-col '{name}' takes them)"
    dropped = [name for name in table.columns if plain(name) in _IDENTITIES and name not in _used(roles)]
    if dropped:
        people = (
            next((name for name in dropped if plain(name) in _PEOPLE), None) if not roles.patient else None
        )
        groups = f" (--patient-col '{people}' keeps the images of one together)" if people else ""
        yield f"left out, as they may identify people: {', '.join(dropped)}{groups}"


def _has_decimal_commas(table: Table, column: str) -> bool:
    """Return whether a column's numbers have a comma for the decimal point, beyond doubt: 1,234 alone may be thousands."""
    cells = [cells[column] for _, cells in table.rows if cells[column]]
    commas = [cell for cell in cells if "," in cell]
    shape = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", re.ASCII)
    return (
        bool(commas)
        and all(shape.fullmatch(cell) for cell in cells)
        and not all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in commas)
    )


def _split(value: str, place: str) -> str | None:
    if not value:
        return None
    if value.lower() not in SPLIT_NAMES:
        raise DataError(f"{place}: '{value}' is no split", f"known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[value.lower()]
