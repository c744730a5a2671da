"""Work on many files at once, results in order, memory bounded, and none of it waited for for ever."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT_PER_WORKER = 8
PATIENCE_SECONDS = 1.5
"""How long an interrupted command waits for what its threads have begun, here and once more on leaving."""
TOO_LONG = "reading it takes longer than"
_LOST: set[Thread] = set()


class Engine(Protocol):
    """What does the named tasks of a command in place of this process's own threads.

    Args:
        partial: it does a part and ends the command with it, which then writes nothing else.
    """

    partial: bool

    def map(
        self, task: str, work: Callable[[Iterable[Item]], Iterator[Result]], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Yield the result of every item, in order; `work` gives those of some items by the threads of a process."""


ENGINE: ContextVar[Engine | None] = ContextVar("engine", default=None)
"""The engine in force; None = threads."""


def in_part() -> bool:
    """Return whether this command does a part of its work, beside others that do the rest, and writes nothing else."""
    engine = ENGINE.get()
    return engine is not None and engine.partial


def usable_cores() -> int:
    """Return how many cores this process may use (cgroups and affinity respected where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_this_process(most_bytes: int, seconds: int) -> None:
    """Hold this process to memory and time of a processor, and to no core file, as far as the system can."""
    with suppress(ImportError):  # Windows
        import resource

        limits = ((resource.RLIMIT_AS, most_bytes), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0))
        for limit, most in limits:
            with suppress(ValueError, OSError):  # macOS limits no memory
                resource.setrlimit(limit, (most, most))


def work_is_left() -> bool:
    """Return whether a thread that was given up still works after a last moment of patience."""
    until = time.monotonic() + PATIENCE_SECONDS
    for thread in list(_LOST):
        thread.join(max(0.0, until - time.monotonic()))
    return any(thread.is_alive() for thread in _LOST)


def takes_too_long(seconds: float) -> str:
    """Return the reason a file gets that was given up."""
    return f"{TOO_LONG} {seconds:g} s"


def map_ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    seconds: float = math.inf,
    late: Callable[[Item], Result] | None = None,
    task: str = "",
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in order, from a bounded pool of threads.

    Threads, not processes: decoding and hashing release the interpreter's lock, and nothing is pickled.

    Args:
        seconds: an item may take, once it has begun; its thread is given up then, and another takes its place.
        late: what to yield for an item that took longer; without it nothing is late.
        task: name under which an engine in force, a cluster or a shard, may do it; "" keeps it in this process.
    """
    engine = ENGINE.get() if task else None
    if engine is not None:
        work = partial(map_ordered, function, workers=workers, seconds=seconds, late=late)
        yield from engine.map(task, work, items)
        return
    count = workers or usable_cores()
    remaining = iter(items)
    pool = _WorkerPool(function, count)
    try:
        for item in islice(remaining, count * _IN_FLIGHT_PER_WORKER):
            pool.ask(item)
        while pool.waiting:
            result = pool.first(seconds, late)
            for item in islice(remaining, 1):
                pool.ask(item)
            yield result
    finally:
        pool.leave()


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in order, while the next one is worked on in a thread of its own.

    What is between two items, such as waiting for the last part of one, then costs no time.
    """
    pool = _WorkerPool(function, 1)
    try:
        for item in items:
            pool.ask(item)
            if len(pool.waiting) > 1:
                yield pool.first()
        while pool.waiting:
            yield pool.first()
    finally:
        pool.leave()


class _Task(Future[Result], Generic[Item, Result]):
    """One item on its way; `begun` is on the monotonic clock."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item
        self.begun = math.inf
        self.thread: Thread | None = None
        self.lost = False


class _WorkerPool(Generic[Item, Result]):
    """Threads that never keep the process alive: a decoder that hangs on a damaged file must not hold a command."""

    def __init__(self, function: Callable[[Item], Result], count: int) -> None:
        self._function = function
        self._count = count
        self._threads = 0
        self._queue: SimpleQueue[_Task[Item, Result] | None] = SimpleQueue()
        self.waiting: deque[_Task[Item, Result]] = deque()

    def ask(self, item: Item) -> None:
        """Have an item worked on."""
        task: _Task[Item, Result] = _Task(item)
        self.waiting.append(task)
        self._queue.put(task)
        if self._threads < self._count:
            self._threads += 1
            self._add()

    def first(self, seconds: float = math.inf, late: Callable[[Item], Result] | None = None) -> Result:
        """Return the result of the item that was asked for first; what its work raised is raised here."""
        task = self.waiting[0]
        while late is not None and math.isfinite(seconds) and not task.done():
            due = task.begun + seconds  # infinite until it begins: every one before it has then begun
            if time.monotonic() > due:
                self._give_up(task)
                self.waiting.popleft()
                return late(task.item)
            wait([task], timeout=min(seconds, max(0.01, due - time.monotonic())))
        result = task.result()
        self.waiting.popleft()
        return result

    def leave(self) -> None:
        """Let the threads go: what has not begun is never begun, and what never ends is not waited for."""
        running = [task for task in self.waiting if not task.cancel()]
        for task in wait(running, timeout=PATIENCE_SECONDS).not_done:
            self._lose(task)  # type: ignore[arg-type]
        for _ in range(self._threads):
            self._queue.put(None)

    def _add(self) -> None:
        Thread(target=self._work, daemon=True).start()

    def _give_up(self, task: _Task[Item, Result]) -> None:
        self._lose(task)
        self._add()

    @staticmethod
    def _lose(task: _Task[Item, Result]) -> None:
        task.lost = True
        if task.thread is not None:
            _LOST.add(task.thread)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            if not task.set_running_or_notify_cancel():
                continue
            task.thread, task.begun = current_thread(), time.monotonic()
            try:
                task.set_result(self._function(task.item))
            except BaseException as error:
                task.set_exception(error)
            if task.lost:  # another thread has its place
                return
