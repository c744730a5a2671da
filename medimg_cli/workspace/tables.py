"""medimg's own tables: CSV in UTF-8, large ones Parquet, whose cells come back exactly, and in which a spreadsheet finds nothing to run."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.plain_text import may_need_shield, shielded, unshielded
from medimg_cli.workspace.table_form import (
    SUFFIX,
    check_single,
    has_parquet,
    is_large,
    parquet_library,
    stored,
)

_ROWS_AT_ONCE = 50_000
"""Rows whose texts are in memory at a time, beside the table itself."""
_CSV_SHA256 = b"csv_sha256"


def write_table(target: Path, rows: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV atomically; `read_table` gives back what `plain_text.shielded` changes in it."""
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(_csv_texts(rows))


def keep_table(target: Path, rows: pd.DataFrame) -> Path:
    """Write a table that may be large, as NAME.csv or as NAME.parquet in its place, and return which.

    Raises:
        DataError: both are there.
    """
    check_single(target)
    table, parquet = target.with_suffix(".csv"), target.with_suffix(SUFFIX)
    if is_large(len(rows)) and has_parquet():
        _write_parquet(parquet, rows)
        table.unlink(missing_ok=True)
    else:
        write_table(table, rows)
        parquet.unlink(missing_ok=True)
    return stored(target)


def table_sha256(path: Path) -> str:
    """Return the SHA-256 of a table's bytes as CSV, whichever form it is kept in."""
    if path.suffix != SUFFIX:
        return sha256_of_file(path)
    check_single(path)
    with _readable(path), _parquet(path) as file:
        for _ in file.iter_batches():  # damage is found in passing
            pass
        return str(file.metadata.metadata[_CSV_SHA256].decode())


def read_table(path: Path, *, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table whose cells are texts ("" where empty), of either form.

    Raises:
        DataError: it is missing, unreadable, there in both forms, or lacks a required column.
        MachineError: it is Parquet, and the library for that is not installed.
    """
    with _readable(path):
        rows = _read_parquet(path) if path.suffix == SUFFIX else _read_csv(path)
    missing = [column for column in required if column not in rows.columns]
    if missing:
        raise DataError(
            f"{path} lacks the column '{missing[0]}'", "its columns: " + ", ".join(rows.columns[:20])
        )
    return rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "run the command that writes it first") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = "Parquet as medimg writes it" if path.suffix == SUFFIX else "a CSV in UTF-8"
        raise DataError(f"{path} cannot be read: {error}", f"check that it is {kind}") from error


def _read_csv(source: Path | io.StringIO) -> pd.DataFrame:
    rows = pd.read_csv(source, dtype=str, keep_default_na=False)
    return _changed(rows, unshielded, lambda texts: "'" in "".join(texts))


def _read_parquet(path: Path) -> pd.DataFrame:
    check_single(path)
    with _parquet(path) as file:
        rows: pd.DataFrame = file.read().to_pandas()
    return rows


def _parquet(path: Path) -> Any:
    return parquet_library().ParquetFile(path, page_checksum_verification=True)


def _write_parquet(target: Path, rows: pd.DataFrame) -> None:
    """Write what `read_table` would read of the CSV, a group of rows for each piece, and the hash of that CSV."""
    arrow, library = import_module("pyarrow"), parquet_library()
    texts, digest = _csv_texts(rows), _Digest()
    head = next(texts)
    digest.write(head)
    columns = _read_csv(io.StringIO(head)).columns.tolist()
    schema = arrow.schema([(name, arrow.large_string()) for name in columns])
    options = {"compression": "zstd", "write_page_checksum": True}
    with atomic_path(target) as temporary, library.ParquetWriter(temporary, schema, **options) as file:
        for text in texts:
            digest.write(text)
            cells = _read_csv(io.StringIO(head + text))
            arrays = [arrow.array(cells[name], arrow.large_string()) for name in columns]
            file.write_table(arrow.Table.from_arrays(arrays, schema=schema))
        file.add_key_value_metadata({_CSV_SHA256: digest.sha256.hexdigest()})


def safe_csv(rows: pd.DataFrame) -> str:
    """Return a table as the text of a CSV whose cells, names of columns too, are `shielded`."""
    return "".join(_csv_texts(rows))


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
        digest.write("\0" * (start > 0) + "\0".join(cells.iloc[start : start + _ROWS_AT_ONCE].tolist()))
    return digest.sha256.hexdigest()


class _Digest(io.TextIOBase):
    """Hashes the text written to it, of which it keeps nothing."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, text: str) -> int:
        self.sha256.update(text.encode("utf-8"))
        return len(text)


def _csv_texts(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the line of the columns, and then the rows piece by piece."""
    starts = range(0, len(rows), _ROWS_AT_ONCE)
    pieces = [rows.iloc[:0], *(rows.iloc[start : start + _ROWS_AT_ONCE] for start in starts)]
    quoted = any("\r" in "".join(texts) for piece in pieces for _, texts in _texts_of(piece))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
    for number, piece in enumerate(pieces):
        safe = _changed(piece, shielded, may_need_shield)
        yield safe.to_csv(index=False, header=number == 0, lineterminator="\n", quoting=quoting)


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
