"""A table of predictions that grows row by row, and is gone on with where a killed call left it."""

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.predictions.prediction import MODEL, Prediction, Row, columns_of, prediction_of, row_of
from medimg_cli.workspace.lock import claim
from medimg_cli.workspace.plain_text import quoting_of, shielded, unshielded

_SECONDS_BETWEEN_SYNCS = 5.0
_ANOTHER = "name another --out, or leave out --resume to begin the file anew"


class _Form(Protocol):
    """How rows stand in a file, a record each; `head` is what stands before the first."""

    head: bytes

    def record(self, row: Row) -> bytes: ...

    def row(self, record: bytes) -> dict[str, Any]: ...

    def is_whole(self, record: bytes) -> bool: ...


class _Csv:
    """RFC 4180 but for the line ends, which are plain; in which a spreadsheet finds nothing to run."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.head = self._line(columns)

    def record(self, row: Row) -> bytes:
        return self._line([row[name] for name in self._columns])

    def row(self, record: bytes) -> dict[str, Any]:
        cells = next(csv.reader(io.StringIO(record.decode("utf-8"), newline=""), strict=True))
        return dict(zip(self._columns, map(unshielded, cells), strict=True))

    def is_whole(self, record: bytes) -> bool:
        return record.endswith(b"\n") and record.count(b'"') % 2 == 0  # else the line end stands in a cell

    @staticmethod
    def _line(cells: Sequence[Any]) -> bytes:
        text = io.StringIO(newline="")
        safe = [shielded(cell) if isinstance(cell, str) else cell for cell in cells]
        csv.writer(text, lineterminator="\n", quoting=quoting_of(safe)).writerow(safe)
        return text.getvalue().encode("utf-8")


class _JsonLines:
    """One JSON object a line."""

    head = b""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)

    def record(self, row: Row) -> bytes:
        cells = {name: row[name] for name in self._columns}
        return (json.dumps(cells, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")

    def row(self, record: bytes) -> dict[str, Any]:
        cells = json.loads(record)
        return {name: cells[name] for name in self._columns}

    def is_whole(self, record: bytes) -> bool:
        return record.endswith(b"\n")


_FORMS: dict[str, Callable[[Sequence[str]], _Form]] = {".csv": _Csv, ".jsonl": _JsonLines}


def check_suffix(path: Path) -> None:
    """Refuse a file of rows that is neither `.csv` nor `.jsonl`; raises `UsageError`."""
    if path.suffix.lower() not in _FORMS:
        raise UsageError(f"--out {path} is neither .csv nor .jsonl", "the suffix decides the format")


@dataclass(frozen=True)
class Done:
    """A row that the file has already."""

    path: str
    prediction: Prediction


class RowFile:
    """Rows written as they come: flushed on request, and on the disk within seconds; `.csv` or `.jsonl`.

    A context manager; what was written stays, whatever ends it.

    Args:
        path: the file.
        classes: of the model that answers.
        model: tells it from every other; each row holds it.
        resume: go on with the rows that are there. Otherwise they are replaced, once there is a first row to write.

    Raises:
        UsageError: another suffix, or the rows to go on with are another model's, or no rows of `predict`.
        MachineError: the file cannot be written, or another process is writing it.
    """

    def __init__(self, path: Path, classes: Sequence[str], model: str, *, resume: bool = False) -> None:
        check_suffix(path)
        self.path, self._classes, self._model = path, tuple(classes), model
        self._form = _FORMS[path.suffix.lower()](columns_of(classes))
        self._stream: BinaryIO | None = None
        self._synced = time.monotonic()
        self._kept_bytes = self._whole_bytes() if resume and path.is_file() else 0

    def __enter__(self) -> "RowFile":
        if self._kept_bytes:
            self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with self._stream:
                self._sync()

    def done(self) -> Iterator[Done]:
        """Yield the rows that were there and are kept; ask before writing."""
        if not self._kept_bytes:
            return
        for end, record in self._records(self._kept_bytes):
            if end > len(self._form.head):
                row = self._form.row(record)
                yield Done(str(row["path"]), prediction_of(row, self._classes))

    def write(self, path: str, prediction: Prediction) -> None:
        """Add a row."""
        record = self._form.record(row_of(path, prediction, self._model))
        with self._plain_errors():
            self._opened().write(record)

    def flush(self) -> None:
        """Hand the rows over to the system, and now and then to the disk."""
        if self._stream is not None:
            with self._plain_errors():
                self._stream.flush()
            if time.monotonic() - self._synced >= _SECONDS_BETWEEN_SYNCS:
                self._sync()

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            with self._plain_errors(), ExitStack() as undone:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stream = undone.enter_context(self.path.open("ab"))
                claim(stream.fileno(), doing=f"writing {self.path}")
                stream.truncate(self._kept_bytes)
                if not self._kept_bytes:
                    stream.write(self._form.head)
                self._stream = stream
                undone.pop_all()
        return self._stream

    def _sync(self) -> None:
        if self._stream is not None:
            with self._plain_errors():
                self._stream.flush()
                os.fsync(self._stream.fileno())
            self._synced = time.monotonic()

    def _whole_bytes(self) -> int:
        """Return the length of the rows that are there, without a last one that was written by half."""
        whole = 0
        for number, (end, record) in enumerate(self._records(None), start=1):
            if number > 1 or not self._form.head:
                self._refuse_strange(number, record)
            elif record != self._form.head:
                raise UsageError(
                    f"{self.path} does not begin with the columns of this model's rows", _ANOTHER
                )
            whole = end
        return whole

    def _refuse_strange(self, number: int, record: bytes) -> None:
        try:
            model = self._form.row(record)[MODEL]
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise UsageError(f"{self.path} record {number} is no row of this model's", _ANOTHER) from error
        if model != self._model:
            raise UsageError(
                f"{self.path} record {number} is of model {model}, and now {self._model} answers", _ANOTHER
            )

    def _records(self, length: int | None) -> Iterator[tuple[int, bytes]]:
        """Yield each whole record of the first `length` bytes, the head too, and where it ends."""
        end, record = 0, b""
        with self.path.open("rb") as stream:
            for line in stream:
                record += line
                if self._form.is_whole(record):
                    end += len(record)
                    yield end, record
                    record = b""
                    if end == length:
                        return

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MachineError(
                f"cannot write {self.path}: {error.strerror or error}",
                "free some disk space or choose another folder; --resume goes on with the rows that are there",
            ) from error


class DoneRows:
    """The predictions that a file has already, asked for in the order of the inputs.

    As long as the inputs come as they came then, one row is looked at a time. At the first that does not, since files came
    or went, the rest of the rows is read into memory.

    Args:
        rows: as they stand in the file.
    """

    def __init__(self, rows: Iterator[Done]) -> None:
        self._rows = rows
        self._following = next(rows, None)
        self._rest: dict[str, list[Prediction]] | None = None

    def of(self, path: str) -> Prediction | None:
        """Return the prediction of the next input of this path that has its row, or None."""
        if self._rest is None:
            following = self._following
            if following is None:
                return None
            if following.path == path:
                self._following = next(self._rows, None)
                return following.prediction
            self._rest = self._read()
        found = self._rest.get(path)
        return found.pop(0) if found else None

    @property
    def left(self) -> int:
        """Return how many rows nobody asked for."""
        rest = self._read() if self._rest is None else self._rest
        self._rest = rest
        return sum(map(len, rest.values()))

    def _read(self) -> dict[str, list[Prediction]]:
        rest: dict[str, list[Prediction]] = {}
        following = self._following
        while following is not None:
            rest.setdefault(following.path, []).append(following.prediction)
            following = next(self._rows, None)
        self._following = None
        return rest
