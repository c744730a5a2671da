"""Reading a table as other software saves it: comma, semicolon or tab, with or without byte order mark."""

import csv
import io
import warnings
from pathlib import Path

import pandas as pd

from medimg_cli.core.table_text import table_text
from medimg_cli.errors import DataError

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
