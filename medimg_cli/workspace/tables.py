"""medimg's own tables: CSV in UTF-8 whose cells come back exactly, and in which a spreadsheet finds nothing to run."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import atomic_path
from medimg_cli.workspace.plain_text import may_need_shield, shielded, unshielded


def write_table(target: Path, rows: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV atomically; `read_table` gives back what `plain_text.shielded` changes in it."""
    with atomic_path(target) as temporary:
        temporary.write_text(safe_csv(rows), encoding="utf-8", newline="")


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
    safe = _changed(rows, shielded, may_need_shield)
    quoted = any("\r" in "".join(texts) for _, texts in _texts_of(safe))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
    whole: str = safe.to_csv(index=False, lineterminator="\n", quoting=quoting)
    return whole


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
