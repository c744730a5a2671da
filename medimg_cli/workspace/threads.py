"""Work on many files at once, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT_PER_WORKER = 8


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
    with ThreadPoolExecutor(max_workers=count) as pool:
        waiting: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(remaining, count * _IN_FLIGHT_PER_WORKER)
        )
        try:
            while waiting:
                result = waiting.popleft().result()
                for item in islice(remaining, 1):
                    waiting.append(pool.submit(function, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item, in order, while the next one is worked on in a thread of its own.

    What is between two items, such as waiting for the last part of one, then costs no time.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
