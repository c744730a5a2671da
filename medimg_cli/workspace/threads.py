"""Work on many files at once, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT_PER_WORKER = 8
PATIENCE_SECONDS = 1.5
"""How long an interrupted command waits for what its threads have begun, here and once more on leaving."""


def usable_cores() -> int:
    """Return how many cores this process may use (cgroups and affinity respected where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in order, from a bounded pool of threads.

    Threads, not processes: decoding and hashing release the interpreter's lock, and nothing is pickled.
    """
    count = workers or usable_cores()
    remaining = iter(items)
    pool = ThreadPoolExecutor(max_workers=count)
    waiting: deque[Future[Result]] = deque()
    try:
        waiting.extend(
            pool.submit(function, item) for item in islice(remaining, count * _IN_FLIGHT_PER_WORKER)
        )
        while waiting:
            result = _first(waiting)
            for item in islice(remaining, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        _leave(pool, waiting)


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in order, while the next one is worked on in a thread of its own.

    What is between two items, such as waiting for the last part of one, then costs no time.
    """
    pool = ThreadPoolExecutor(max_workers=1)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 1:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        _leave(pool, waiting)


def _first(waiting: deque[Future[Result]]) -> Result:
    result = waiting[0].result()
    waiting.popleft()
    return result


def _leave(pool: ThreadPoolExecutor, waiting: Iterable[Future[Result]]) -> None:
    """Let go of a pool: what has not begun is never begun, and what never ends is not waited for.

    A decoder that hangs on a damaged file must not hold a command that was interrupted.
    """
    running = [future for future in waiting if not future.cancel()]
    wait(running, timeout=PATIENCE_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
