"""The text of a table that a spreadsheet or another program saved, whatever its encoding."""

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import atomic_path

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ZIP = b"PK\x03\x04"
_HINT = "save the table as CSV (UTF-8)"


def table_text(path: Path, *, called: str = "") -> str:
    """Return the text of a table: UTF-8, UTF-16 with its mark, and otherwise Windows-1252.

    Args:
        called: stands before the path in messages, such as an option's name.

    Raises:
        DataError: it is missing, cannot be opened, or is no text.
    """
    named = f"{called} {path}".strip()
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{named}: {reason}", "check the file's name") from error
    if content.startswith(_ZIP):
        raise DataError(f"{named} is a workbook or an archive, not a CSV", "save the sheet as CSV (UTF-8)")
    for mark, encoding in (*_BYTE_ORDER_MARKS, (b"", "utf-8")):
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                break
    if b"\0" in content:
        raise DataError(f"{named} is no text", _HINT)
    return content.decode("cp1252", "replace")


def write_table(target: Path, rows: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV atomically."""
    with atomic_path(target) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path, *, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV whose cells are texts ("" where empty).

    Raises:
        DataError: it is missing, unreadable, or lacks a required column.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "run the command that writes it first") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", "check that it is a CSV in UTF-8") from error
    missing = [column for column in required if column not in rows.columns]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}'", "its columns: " + ", ".join(rows.columns[:20])
        )
    return rows


_SEPARATORS = ",;\t|"


def read_spreadsheet(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a table whose cells are texts ("" where empty), and what separates them.

    Lines without any text are left out; the index keeps their numbers, so that index + 2 is the line that a spreadsheet
    shows. UTF-8, UTF-16 and, as spreadsheets save it in the West, Windows-1252 are read.

    Raises:
        DataError: it is missing, no text, without rows, has two columns of one name, or a row with too many cells.
    """
    text = table_text(path)
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=header.count)
    _refuse_double(path, [name.strip() for name in next(csv.reader([header], delimiter=separator), [])])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", pd.errors.ParserWarning
            )  # cells beyond the header would be dropped
            rows = pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        said = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise DataError(
            f"{path} cannot be read: {said}",
            "each row needs as many cells as the header; save it as CSV again",
        ) from error
    rows = rows.rename(columns=lambda name: str(name).strip()).fillna("")
    empty = (rows == "").all(axis=1) if (rows.iloc[:, 0] == "").any() else None
    rows = rows if empty is None else rows[~empty]
    if rows.empty:
        raise DataError(
            f"{path} holds no rows", "the first line names the columns, each further one an image"
        )
    return rows, separator


def _refuse_double(path: Path, names: list[str]) -> None:
    double = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if double is not None:
        raise DataError(f"{path} has two columns '{double}'", "rename or remove one of them")
