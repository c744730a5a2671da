"""Reading a labels table as people save it: comma, semicolon or tab, with or without byte order mark."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.tables import table_text

_DELIMITERS = ",;\t|"
_GUESSES = {
    "image": "image images imageid imagename imagepath imagefile imagefilename imageindex img imgname imgpath "
    "filename file filepath path",
    "label": "label labels class classname diagnosis dx target finding findings findinglabel findinglabels category",
    "patient": "patient patientid subject subjectid patientnumber patientno caseid",
}


@dataclass(frozen=True)
class Table:
    """A table whose cells are texts.

    Args:
        path: where it was read.
        columns: their names.
        rows: (line in the file, cells by column); lines without any text are left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_labels_file(path: Path) -> Table:
    """Read a CSV or TSV in UTF-8, UTF-16 or, as spreadsheets save it in the West, Windows-1252.

    Raises:
        DataError: missing, unreadable, without rows, two columns of one name, or a row with too many cells.
    """
    text = table_text(path, called="--labels")
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: tuple[str, ...] = ()
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not columns:
                columns = _header(path, cells)
                continue
            if len(cells) > len(columns) and any(cells[len(columns) :]):
                raise DataError(
                    f"{path} line {reader.line_num} has {len(cells)} cells, the header {len(columns)}",
                    "put quotes round a cell that holds the separator",
                )
            filled = [*cells, *[""] * (len(columns) - len(cells))]
            rows.append((reader.line_num, dict(zip(columns, filled, strict=False))))
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}", "save the table as CSV again") from error
    if not rows:
        raise DataError(
            f"{path} holds no rows", "the first line names the columns, each further one an image"
        )
    return Table(path, columns, tuple(rows))


def require_column(table: Table, name: str, option: str) -> str:
    """Return `name` when the table has it.

    Raises:
        UsageError: it has not; the hint proposes the closest one.
    """
    if name not in table.columns:
        raise UsageError(f"{option}: {table.path} has no column '{name}'", did_you_mean(name, table.columns))
    return name


def plain(name: str) -> str:
    """Return a column's name in lower case without what people put between words."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    names = [cell for cell in cells if cell]
    double = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if double is not None:
        raise DataError(f"{path} has two columns '{double}'", "rename one of them")
    return tuple(cell or f"column {position + 1}" for position, cell in enumerate(cells))


def is_image_column(name: str) -> bool:
    """Return whether a column is called as columns of file names are."""
    return plain(name) in _GUESSES["image"].split()


def guess_column(table: Table, role: str, taken: Sequence[str], *, required: bool = False) -> str | None:
    """Return the one column that is called as `role` (image, label, patient) commonly is, None for none.

    Args:
        taken: columns that mean something else.
        required: there has to be one.

    Raises:
        UsageError: there are several, or none although one is required.
    """
    known = _GUESSES[role].split()
    found = [name for name in table.columns if plain(name) in known and name not in taken]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(found)
        raise UsageError(f"{table.path}: {several}: which is the {role}?", f"name it with --{role}-col")
    if not required:
        return None
    columns = ", ".join(table.columns[:20])
    raise UsageError(
        f"{table.path}: no column looks like the {role}", f"name it with --{role}-col; there are {columns}"
    )
