"""medimg's own tables: CSV in UTF-8 whose cells come back exactly, and in which a spreadsheet finds nothing to run."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import pandas as pd

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import atomic_path
from medimg_cli.workspace.plain_text import may_need_shield, shielded, unshielded

_ROWS_AT_ONCE = 50_000
"""Rows whose texts are in memory at a time, beside the table itself."""


def write_table(target: Path, rows: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV atomically; `read_table` gives back what `plain_text.shielded` changes in it."""
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        _write_csv(rows, stream)


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
    rows = _changed(rows, unshielded, lambda texts: "'" in "".join(texts))
    missing = [column for column in required if column not in rows.columns]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}'", "its columns: " + ", ".join(rows.columns[:20])
        )
    return rows


def safe_csv(rows: pd.DataFrame) -> str:
    """Return a table as the text of a CSV whose cells, names of columns too, are `shielded`."""
    whole = io.StringIO(newline="")
    _write_csv(rows, whole)
    return whole.getvalue()


def csv_sha256(rows: pd.DataFrame, then: str = "", **options: Any) -> str:
    """Return the SHA-256 of the text that `rows.to_csv(**options)` returns, with another text behind it."""
    digest = _Digest()
    rows.to_csv(digest, **options)
    digest.write(then)
    return digest.sha256.hexdigest()


def cells_sha256(cells: pd.Series) -> str:
    """Return the SHA-256 of a column's texts, a NUL between each two."""
    digest = _Digest()
    for start in range(0, len(cells), _ROWS_AT_ONCE):
        digest.write("\0" * (start > 0) + "\0".join(cells.iloc[start : start + _ROWS_AT_ONCE]))
    return digest.sha256.hexdigest()


class _Digest(io.TextIOBase):
    """Hashes the text written to it, of which it keeps nothing."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, text: str) -> int:
        self.sha256.update(text.encode("utf-8"))
        return len(text)


def _write_csv(rows: pd.DataFrame, stream: TextIO) -> None:
    pieces = [rows.iloc[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows) or 1, _ROWS_AT_ONCE)]
    quoted = any("\r" in "".join(texts) for piece in pieces for _, texts in _texts_of(piece))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
    for number, piece in enumerate(pieces):
        safe = _changed(piece, shielded, may_need_shield)
        safe.to_csv(stream, index=False, header=number == 0, lineterminator="\n", quoting=quoting)


def _texts_of(rows: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of the columns, as "", and the texts of each column that has some."""
    yield "", list(map(str, rows.columns))
    for place, name in enumerate(rows.columns):
        if rows.dtypes.iloc[place].kind not in "iufb":
            yield name, [cell for cell in rows.iloc[:, place].tolist() if isinstance(cell, str)]


def _changed(
    rows: pd.DataFrame, change: Callable[[str], str], concerns: Callable[[Iterable[str]], bool]
) -> pd.DataFrame:
    """Return a table with its texts changed, names of columns too; most columns are of no concern."""
    found = {
        name: [change(cell) if isinstance(cell, str) else cell for cell in rows[name].tolist()]
        for name, texts in _texts_of(rows)
        if name and concerns(texts)
    }
    return rows.assign(**found).rename(columns=lambda name: change(str(name)))
