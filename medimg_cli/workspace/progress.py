"""How a stage tells what it is doing, without knowing who listens."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from medimg_cli.errors import MachineError
from medimg_cli.workspace.plain_text import visible_line

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


class PassedOn:
    """Passes everything on; what listens in between overrides what it changes."""

    def __init__(self, listener: Progress) -> None:
        self._listener = listener

    def start(self, task: str, total: int | None) -> None:
        self._listener.start(task, total)

    def advance(self, steps: int = 1) -> None:
        self._listener.advance(steps)

    def finish(self) -> None:
        self._listener.finish()

    def epoch(self, row: Mapping[str, float]) -> None:
        self._listener.epoch(row)

    def note(self, message: str) -> None:
        self._listener.note(message)

    def warn(self, message: str) -> None:
        self._listener.warn(message)


class LoggedProgress(PassedOn):
    """Passes everything on, and keeps epochs, notes and warnings in a run's log file.

    Raises:
        MachineError: by what writes to it, when the disk is full.
    """

    def __init__(self, listener: Progress, path: Path) -> None:
        super().__init__(listener)
        self._path = path

    def epoch(self, row: Mapping[str, float]) -> None:
        self._write(" ".join(f"{name}={value:.6g}" for name, value in row.items()))
        super().epoch(row)

    def note(self, message: str) -> None:
        self._write(f"note: {message}")
        super().note(message)

    def warn(self, message: str) -> None:
        self._write(f"warning: {message}")
        super().warn(message)

    def _write(self, line: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as log:
                log.write(visible_line(line) + "\n")
        except OSError as error:
            raise MachineError(
                f"cannot write {self._path}: {error.strerror or error}",
                "free some disk space or choose another folder",
            ) from error


@dataclass
class Remarks:
    """Says what is worth saying to whoever listens, and keeps it for the result."""

    progress: Progress
    messages: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        self.messages.append(message)
        self.progress.note(message)

    def warn(self, message: str) -> None:
        self.messages.append(message)
        self.progress.warn(message)


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


class Step(PassedOn):
    """A listener that shows the step's name whenever the step shows nothing of its own.

    Only one task is open at a time, as whoever listens draws one bar. A context manager: on leaving it, the
    listener has no open task.
    """

    def __init__(self, listener: Progress, name: str) -> None:
        super().__init__(listener)
        self._name = name

    def __enter__(self) -> "Step":
        self._listener.start(self._name, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.finish()

    def start(self, task: str, total: int | None) -> None:
        self._listener.finish()
        self._listener.start(f"{self._name}: {task}", total)

    def finish(self) -> None:
        self._listener.finish()
        self._listener.start(self._name, None)
