"""A command divided over the tasks of a job array, and put together again: no engine, only files.

    shards/<command>/<task>.<i>-of-<N>.jsonl    a line that says what it is of, then one a result, in the items' order
                     <task>.<i>-of-<N>.bin      the arrays that the results hold, one behind the other

Shard i of N does items i, i + N, i + 2 N, … A killed one goes on behind its last whole line. Merging runs the command itself, which
takes each result from its shard instead of working it out: so it leaves the bytes that an undivided run leaves.
"""

import hashlib
import importlib
import json
import os
import platform
import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from medimg_cli import __version__
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.files import check_seal, disk_errors, sealed
from medimg_cli.workspace.lock import claim
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Iterable[Item]], Iterator[Result]]

_DIVIDED = frozenset("examine measure preprocess predict deidentify".split())
"""The task of each command that its shards divide; others are short, or need the whole."""
_SECONDS_BETWEEN_SYNCS = 5.0
_NAME = re.compile(r"(?P<task>[a-z-]+)\.(?P<number>\d+)-of-(?P<count>\d+)\.jsonl")


@dataclass(frozen=True)
class Call:
    """What was called: shards of one whole have it in common.

    Args:
        arguments: of the command line, without `--shard`.
        settings: hash of all settings in force.
        folder: the current folder, which relative paths begin at.
        made_with: versions of what decides results.
    """

    arguments: tuple[str, ...]
    settings: str
    folder: str
    made_with: Mapping[str, str] = field(
        default_factory=lambda: {
            "medimg": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
    )


class ShardDone(Exception):  # noqa: N818 -- no error: a shard ends where its part is done
    """A shard has done its part.

    Args:
        result: what to say of it.
    """

    def __init__(self, result: "ShardResult") -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True)
class ShardResult:
    """What a shard did.

    Args:
        shard: "3/8".
        done: how many items are done, of them `resumed` by an earlier call.
        waiting_for: numbers of shards that have begun nothing yet.
    """

    shard: str
    task: str
    done: int
    resumed: int
    folder: Path
    waiting_for: tuple[int, ...]


class Shard:
    """The engine of one task of a job array: does its part of the first named task of a command, and ends it.

    Args:
        folder: of this command's shards.

    Raises (map):
        UsageError: the folder holds shards of another call or another count.
        MachineError: the same shard is being made elsewhere, or the disk is full.
        ShardDone: at the end of a task that is divided.
    """

    partial = True

    def __init__(self, folder: Path, call: Call, number: int, count: int, progress: Progress) -> None:
        self._folder, self._call = folder, call
        self._number, self._count, self._progress = number, count, progress

    def map(self, task: str, work: Work[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do this shard's part of the items, of which none is yielded; of a task that is not divided, all."""
        if task not in _DIVIDED:
            yield from work(items)
            return
        with disk_errors(self._folder, "free some disk space; the same command then goes on from there"):
            self._folder.mkdir(
                parents=True, exist_ok=True, mode=0o700
            )  # it names files, and so perhaps people
            for other in _found(self._folder, task):
                if other.count != self._count:
                    what = f"{self._folder} holds shards of {other.count}, and this is one of {self._count}"
                    raise UsageError(what, "`medimg merge` those, or delete that folder to divide anew")
                _refuse_other(other, self._call, f"shard {self._number}/{self._count}")
            with _Writer(self._place(task, self._number), self._call) as writer:
                resumed = len(writer.kept)
                done = self._do(writer, task, work, items)
        waiting = [n for n in range(1, self._count + 1) if not self._place(task, n).lines.is_file()]
        shard = f"{self._number}/{self._count}"
        raise ShardDone(ShardResult(shard, task, done, min(resumed, done), self._folder, tuple(waiting)))
        yield

    def _place(self, task: str, number: int) -> "_Place":
        return _Place(self._folder, task, number, self._count)

    def _do(self, writer: "_Writer", task: str, work: Work[Item, Result], items: Iterable[Item]) -> int:
        keys: deque[str] = deque()
        seen = 0

        def left() -> Iterator[Item]:
            nonlocal seen
            for item in islice(items, self._number - 1, None, self._count):
                key, place, seen = key_of(item), seen, seen + 1
                if place < len(writer.kept) and writer.kept[place] != key:
                    writer.forget(place)  # from here on the source is another one than it was
                if place >= len(writer.kept):
                    keys.append(key)
                    yield item

        self._progress.finish()
        self._progress.start(f"{task}, shard {self._number} of {self._count}", None)
        for result in work(left()):
            writer.add(keys.popleft(), result)
            self._progress.advance()
        if seen < len(writer.kept):
            writer.forget(seen)
        writer.finish()
        return seen


class Merged:
    """The engine that answers a command's first named task from shards; a task that has none is done here.

    Args:
        folder: of the command's shards.

    Raises (map):
        DataError: a shard is missing, unfinished, of another call or of another source.
    """

    partial = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.merged: set[str] = set()

    def map(self, task: str, work: Work[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield every item's result from its shard."""
        if task in self.merged or not _found(self._folder, task):
            yield from work(items)
            return
        places, _ = whole(self._folder)
        with ExitStack() as open_files:
            readers = [open_files.enter_context(_Reader(place)) for place in places]
            for number, item in enumerate(items):
                yield readers[number % len(readers)].result(key_of(item))
            for reader in readers:
                reader.end()
        self.merged.add(task)


def whole(folder: Path) -> tuple[list["_Place"], Call]:
    """Return the shards of a folder in their order, and what was called.

    Raises:
        DataError: one is missing or of another call; what is in it is looked at when it is merged.
    """
    found = _found(folder)
    if not found:
        raise DataError(f"{folder} holds no shards", "run the command with --shard 1/N to N/N first")
    counts = sorted({place.count for place in found})
    if len(counts) > 1:
        what = f"{folder} holds shards of {' and of '.join(map(str, counts))}"
        raise DataError(what, "delete those that are of no use, or the folder, and run the missing ones")
    missing = sorted(set(range(1, counts[0] + 1)) - {place.number for place in found})
    if missing:
        named = ", ".join(f"{number}/{counts[0]}" for number in missing[:10])
        what = f"{folder} lacks {plural(len(missing), 'shard')} of {counts[0]}: {named}"
        raise DataError(what, f"run the same command with --shard {missing[0]}/{counts[0]}")
    first = found[0].call()
    for place in found[1:]:
        _refuse_other(place, first, f"shard {found[0]}", DataError)
    return found, first


@dataclass(frozen=True, order=True)
class _Place:
    """The files of one shard."""

    folder: Path
    task: str
    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def lines(self) -> Path:
        return self.folder / f"{self.task}.{self.number}-of-{self.count}.jsonl"

    @property
    def arrays(self) -> Path:
        return self.lines.with_suffix(".bin")

    def call(self) -> Call:
        """Return what made it; raises `DataError` where its first line does not say."""
        try:
            with self.lines.open(encoding="utf-8") as stream:
                said = check_seal(self.lines, json.loads(stream.readline()))
            return Call(
                tuple(map(str, said["arguments"])), said["settings"], said["folder"], dict(said["made_with"])
            )
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            again = f"delete it and run --shard {self} again"
            raise DataError(f"{self.lines} does not say what made it", again) from error


def _found(folder: Path, task: str | None = None) -> list[_Place]:
    matches = [
        _NAME.fullmatch(path.name) for path in folder.iterdir()
    ]  # another user's folder is an error, and not empty
    places = [_Place(folder, m["task"], int(m["number"]), int(m["count"])) for m in matches if m]
    return sorted(place for place in places if task in (None, place.task) and _begins(place.lines))


def _begins(path: Path) -> bool:
    """Return whether a shard's first line is whole: one killed before that has not begun."""
    with suppress(IsADirectoryError), path.open("rb") as stream:
        return stream.readline().endswith(b"\n")
    return False


def _refuse_other(
    place: _Place, call: Call, own: str, kind: type[UsageError] | type[DataError] = UsageError
) -> None:
    """Refuse a shard that another call made, or the same with other settings or versions."""
    other = place.call()
    aspects = {
        "arguments": (" ".join(other.arguments), " ".join(call.arguments)),
        "versions": (dict(other.made_with), dict(call.made_with)),
        "settings": (other.settings, call.settings),
        "current folders": (other.folder, call.folder),
    }
    for name, (before, now) in aspects.items():
        if before != now:
            shown = "" if name == "settings" else f" ({before}; not {now})"
            what = f"shard {place} in {place.folder} was made with other {name} than {own}{shown}"
            raise kind(what, "delete the shards that are of no use, and run those again with --shard")


def key_of(item: object) -> str:
    """Return 16 hex digits by which an item is known again."""
    return hashlib.sha256(repr(item).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Writer:
    """A shard that is written: lines and arrays, each line only once its arrays are there; a context manager.

    `kept` holds the keys of the results that an earlier call left.
    """

    def __init__(self, place: _Place, call: Call) -> None:
        self._place, self._head = place, json.dumps(sealed(asdict(call))).encode("ascii") + b"\n"
        self.kept: list[str] = []
        self._synced = time.monotonic()

    def __enter__(self) -> "_Writer":
        with ExitStack() as files:
            self._lines = files.enter_context(self._place.lines.open("a+b"))
            claim(self._lines.fileno(), doing=f"making shard {self._place} of {self._place.folder}")
            self._arrays = files.enter_context(self._place.arrays.open("a+b"))
            self._recover()
            self._files = files.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._files:
            self._sync()

    def add(self, key: str, result: object) -> None:
        """Write a result."""
        start = self._arrays.seek(0, os.SEEK_END)
        record = {"item": key, "result": _plain(result, self._arrays)}
        record["arrays"] = self._arrays.seek(0, os.SEEK_END)
        record["sum"] = _sum_of(record, self._arrays, start)
        self._lines.write(json.dumps(record).encode("ascii") + b"\n")
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def finish(self) -> None:
        """Say that nothing follows."""
        self._lines.write(b'{"end": true}\n')

    def forget(self, count: int) -> None:
        """Keep the first `count` results of an earlier call; called before anything is added."""
        line, array = self._ends[count]
        self._lines.truncate(line)
        self._arrays.truncate(array)
        del self.kept[count:]

    def _recover(self) -> None:
        """Find the whole results that are there, and drop what a killed call, or damage, left behind them."""
        self._lines.seek(0)
        self._ends = [(len(self._head), 0)]
        if self._lines.readline() != self._head:  # empty, or not even the first line is whole
            self._lines.truncate(0)
            self._lines.write(self._head)
            self._lines.flush()
        for line in self._lines:
            record = _record_of(line, self._arrays, self._ends[-1][1]) if line.endswith(b"\n") else {}
            if "item" not in record:
                break
            self.kept.append(record["item"])
            self._ends.append((self._ends[-1][0] + len(line), record["arrays"]))
        self.forget(len(self.kept))

    def _sync(self) -> None:
        for stream in (self._arrays, self._lines):
            stream.flush()
            os.fsync(stream.fileno())
        self._synced = time.monotonic()


class _Reader:
    """A shard that is merged; a context manager."""

    def __init__(self, place: _Place) -> None:
        self._place, self._done = place, 0

    def __enter__(self) -> "_Reader":
        with ExitStack() as files:
            try:
                self._lines = files.enter_context(self._place.lines.open("rb"))
                self._arrays = files.enter_context(self._place.arrays.open("rb"))
            except (FileNotFoundError, IsADirectoryError) as error:
                raise DataError(f"{error.filename} is no file", f"run --shard {self._place} again") from error
            self._lines.readline()
            self._files = files.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def result(self, key: str) -> Any:
        """Return the next result, which has to be that of the item with this key."""
        record = self._next()
        if record.get("item") != key:
            what = f"shard {self._place} in {self._place.folder} is of another source than what is here now"
            hint = "files or rows came, went or changed since: delete the folder and run all shards again"
            raise DataError(what, hint)
        self._done = record["arrays"]
        return _restored(record["result"], self._arrays)

    def end(self) -> None:
        """Be sure that no result is left over."""
        if "end" not in self._next():
            what = f"shard {self._place} in {self._place.folder} holds more than the source has now"
            raise DataError(what, "delete the folder and run all shards again")

    def _next(self) -> dict[str, Any]:
        found = _record_of(self._lines.readline(), self._arrays, self._done)
        if not found:
            what = f"shard {self._place} in {self._place.folder} is unfinished or damaged"
            raise DataError(what, f"run --shard {self._place} again: it goes on from there")
        return found


def _sum_of(record: Mapping[str, Any], arrays: BinaryIO, start: int) -> int:
    """Return the CRC-32 of a record, without its own sum, and of its arrays, which begin at `start`."""
    plain = json.dumps({name: each for name, each in record.items() if name != "sum"})
    arrays.seek(start)
    return zlib.crc32(arrays.read(record["arrays"] - start), zlib.crc32(plain.encode("ascii")))


def _record_of(line: bytes, arrays: BinaryIO, start: int) -> dict[str, Any]:
    """Return what a line holds, {} where it, or its arrays, are not as they were written."""
    with suppress(ValueError, KeyError, TypeError):
        found: dict[str, Any] = json.loads(line)
        if found == {"end": True} or found["sum"] == _sum_of(found, arrays, start):
            return found
    return {}


def _plain(value: Any, arrays: BinaryIO) -> Any:
    """Return a result as JSON has it; its arrays are appended to `arrays`. No code is read back from either."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.ndarray):
        offset = arrays.seek(0, os.SEEK_END)
        arrays.write(np.ascontiguousarray(value).data)
        return {"array": [value.dtype.str, list(value.shape), offset]}
    if isinstance(value, list):
        return [_plain(each, arrays) for each in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(each, arrays) for each in value]}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Mapping):
        return {"dict": {str(name): _plain(each, arrays) for name, each in value.items()}}
    if is_dataclass(value):
        own = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
        kind = f"{type(value).__module__}:{type(value).__qualname__}"
        return {kind: {name: _plain(each, arrays) for name, each in own.items()}}
    raise TypeError(f"{type(value).__name__} has no form in a shard")


def _restored(value: Any, arrays: BinaryIO) -> Any:
    if isinstance(value, list):
        return [_restored(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        dtype, shape, offset = np.dtype(content[0]), content[1], content[2]
        arrays.seek(offset)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(arrays.read(count * dtype.itemsize), dtype=dtype).reshape(shape)
    if kind == "tuple":
        return tuple(_restored(each, arrays) for each in content)
    if kind == "path":
        return Path(content)
    restored = {name: _restored(each, arrays) for name, each in content.items()}
    return restored if kind == "dict" else _record_kind(kind)(**restored)


def _record_kind(name: str) -> type[Any]:
    """Return one of medimg's own records by its module and name; nothing else is ever called."""
    module, _, kind = name.partition(":")
    found = getattr(importlib.import_module(module), kind, None) if module.startswith("medimg_cli.") else None
    if not (isinstance(found, type) and is_dataclass(found)):
        raise DataError(f"a shard holds '{name[:80]}', which is no record of medimg", "run that shard again")
    return found
