"""One step of a longer work, such as one check of an audit: named while it runs, and so are its own tasks."""

from types import TracebackType

from medimg_cli.core.progress import PassedOn, Progress


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
