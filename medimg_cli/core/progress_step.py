"""One step of a longer work, such as one check of an audit: named while it runs, and so are its own tasks."""

from collections.abc import Mapping
from types import TracebackType

from medimg_cli.core.progress import Progress


class Step:
    """A listener that shows the step's name whenever the step shows nothing of its own.

    Only one task is open at a time, as whoever listens draws one bar. A context manager: on leaving it, the
    listener has no open task.
    """

    def __init__(self, listener: Progress, name: str) -> None:
        self._listener = listener
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

    def advance(self, steps: int = 1) -> None:
        self._listener.advance(steps)

    def finish(self) -> None:
        self._listener.finish()
        self._listener.start(self._name, None)

    def epoch(self, row: Mapping[str, float]) -> None:
        self._listener.epoch(row)

    def note(self, message: str) -> None:
        self._listener.note(message)

    def warn(self, message: str) -> None:
        self._listener.warn(message)
