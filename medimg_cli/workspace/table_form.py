"""In which form a large table is kept: NAME.csv, or from some number of rows on NAME.parquet in its place.

One file in row groups, as it takes the place of the one before in one step; a folder of parts could not.
"""

import csv
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medimg_cli.errors import DataError, MachineError

SUFFIX = ".parquet"
_parquet_from = [200_000]


def keep_as_parquet_from(rows: int) -> None:
    """Set from how many rows on tables are written as Parquet in this process; 0 = never."""
    _parquet_from[0] = rows


def is_large(rows: int) -> bool:
    """Return whether a table of so many rows is to be kept as Parquet."""
    return 0 < _parquet_from[0] <= rows


def has_parquet() -> bool:
    """Return whether the library for it is installed."""
    return find_spec("pyarrow") is not None


def stored(path: Path) -> Path:
    """Return the file that holds the table NAME.csv: NAME.parquet where that is there."""
    parquet = path.with_suffix(SUFFIX)
    return parquet if parquet.is_file() else path.with_suffix(".csv")


def check_single(path: Path) -> None:
    """Refuse a table that is there in both forms; raises `DataError`."""
    table, parquet = path.with_suffix(".csv"), path.with_suffix(SUFFIX)
    if table.exists() and parquet.exists():
        raise DataError(
            f"{table} and {parquet.name} are both there, and one of them counts",
            f"delete {parquet.name} if the CSV is to count, as one edited by hand, else the CSV",
        )


def parquet_library() -> Any:
    """Return pyarrow's module for Parquet; raises `MachineError` where it is not installed."""
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise MachineError(
            "a table kept as Parquet needs pyarrow", "pip install 'medimg[parquet]'"
        ) from error


def rows_of(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a stored table with at least these columns; cells of a CSV as they stand there.

    Raises:
        OSError, ValueError, csv.Error: it cannot be read.
        DataError, MachineError: see `check_single`, `parquet_library`.
    """
    if path.suffix != SUFFIX:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines, strict=True)
        return
    check_single(path)
    with parquet_library().ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            yield from batch.to_pylist()
