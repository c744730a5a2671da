"""The process that starts the workers, starts again those that die, and ends them all in good order.

Images come from strangers and are decoded by libraries in C: one that brings a worker down costs its requests, not the
service.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from medimg_cli.errors import MachineError, MedimgError

_LOOK_SECONDS = 0.2
_QUICK_DEATH_SECONDS = 5.0
_MOST_PAUSE_SECONDS = 30.0
_REACHED_SECONDS = 5.0  # beyond the grace, for a worker to leave
SILENT_SECONDS = 45.0
"""A worker that has not been heard of for so long is killed, and another takes its place."""
READY = "ready"
Report = tuple[str, type[MedimgError] | None, str, str]
"""What a worker says when it has started: `READY`, or which error kept it from starting."""


@dataclass
class _Slot:
    process: BaseProcess
    reports: Connection
    began: float = field(default_factory=time.monotonic)
    due: float | None = None
    """When the next process takes the slot, where this one has died."""
    pause: float = 0.5


class Supervisor:
    """Keeps workers alive.

    Args:
        start: starts the worker of a slot, from 0; returns its process and where it reports.
        workers: how many slots there are.
        grace_seconds: for running requests at the end.
        note: called for every worker that died.
        last_beat: when the worker of a slot last did something, in seconds of `time.monotonic`; 0 before it is ready.
    """

    def __init__(
        self,
        start: Callable[[int], tuple[BaseProcess, Connection]],
        *,
        workers: int,
        grace_seconds: float,
        note: Callable[[str], None],
        last_beat: Callable[[int], float] = lambda _slot: 0.0,
    ) -> None:
        self._start, self._workers = start, workers
        self._grace, self._note, self._last_beat = grace_seconds, note, last_beat
        self._asked_to_stop = 0
        self._slots: list[_Slot] = []

    def run(self, ready: Callable[[], None]) -> bool:
        """Serve until SIGINT or SIGTERM; return whether every request under way could be finished.

        Args:
            ready: called once all workers have started.

        Raises:
            MedimgError: a worker could not start, with its reason.
        """
        with self._signals():
            try:
                for slot in range(self._workers):
                    self._slots.append(_Slot(*self._start(slot)))
                if self._all_ready():
                    ready()
                while not self._asked_to_stop:
                    self._look()
                return self._finish()
            finally:
                for one in self._slots:
                    if one.process.is_alive():
                        one.process.kill()
                    one.process.join(_REACHED_SECONDS)

    def _all_ready(self) -> bool:
        """Wait for the first report of each; False where somebody asks to stop meanwhile."""
        for slot in self._slots:
            while not slot.reports.poll(_LOOK_SECONDS):
                if self._asked_to_stop:
                    return False
            self._check(slot)
        return True

    def _check(self, slot: _Slot) -> None:
        try:
            _, kind, what, hint = slot.reports.recv()
        except EOFError as error:
            slot.process.join()
            raise MachineError(
                f"a worker ended while it started ({_ending(slot.process)})",
                "is there memory enough for the model? `medimg doctor` says what there is",
            ) from error
        if kind is not None:
            raise kind(what, hint)

    def _look(self) -> None:
        """Wait a moment, and fill the slots of workers that died."""
        living = [slot.process.sentinel for slot in self._slots if slot.due is None]
        if living:
            wait(living, _LOOK_SECONDS)
        else:
            time.sleep(_LOOK_SECONDS)
        for number, slot in enumerate(self._slots):
            if self._asked_to_stop:
                return
            beat = self._last_beat(number)
            if beat > slot.began and time.monotonic() - beat > SILENT_SECONDS:
                slot.process.kill()  # a decoder holds the interpreter: the worker itself can do nothing
                slot.process.join(_REACHED_SECONDS)
            if slot.due is None and not slot.process.is_alive():
                self._note_end(number, slot)
            elif slot.due is not None and time.monotonic() >= slot.due:
                slot.process, slot.reports = self._start(number)
                slot.began, slot.due = time.monotonic(), None

    def _note_end(self, number: int, slot: _Slot) -> None:
        """Say that a worker died, and when the next begins: later each time where they die at once."""
        quickly = time.monotonic() - slot.began < _QUICK_DEATH_SECONDS
        slot.pause = min(_MOST_PAUSE_SECONDS, slot.pause * 2) if quickly else 0.5
        slot.due = time.monotonic() + (slot.pause if quickly else 0.0)
        self._note(f"worker {number + 1} ended ({_ending(slot.process)}); another takes its place")
        slot.reports.close()

    def _finish(self) -> bool:
        """Let the workers finish; a second request to stop ends them at once."""
        until = time.monotonic() + self._grace + _REACHED_SECONDS
        asked = self._asked_to_stop
        while living := [slot.process for slot in self._slots if slot.process.is_alive()]:
            if self._asked_to_stop > asked or time.monotonic() > until:
                return False
            for process in living:
                process.terminate()  # again and again: one that is just starting may miss it
            wait([process.sentinel for process in living], _LOOK_SECONDS)
        return all(slot.process.exitcode == 0 for slot in self._slots if slot.due is None)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._asked_to_stop += 1

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        signal.set_wakeup_fd(-1)  # how long it may take to end is `grace_seconds`' matter
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _ending(process: BaseProcess) -> str:
    code = process.exitcode
    if code is None:
        return "no answer"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
