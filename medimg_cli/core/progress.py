"""How a stage tells what it is doing, without knowing who listens."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """What a stage calls while it works; the command line draws it, a notebook may ignore it."""

    def start(self, task: str, total: int | None) -> None:
        """A countable task begins: `total` steps, or None when unknown."""

    def advance(self, steps: int = 1) -> None:
        """`steps` more steps of the current task are done."""

    def finish(self) -> None:
        """The current task is over."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """One training epoch is over; `row` holds its figures by name."""

    def note(self, message: str) -> None:
        """Something the user should know."""

    def warn(self, message: str) -> None:
        """Something the user should look at."""


class SilentProgress:
    """Listens and says nothing."""

    def start(self, task: str, total: int | None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def finish(self) -> None: ...

    def epoch(self, row: Mapping[str, float]) -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


def tracked(
    items: Iterable[Item], progress: Progress, task: str, *, total: int | None = None
) -> Iterator[Item]:
    """Yield `items`, telling `progress` of each one; the total is `len(items)` where it is known."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    progress.start(task, total)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.finish()
