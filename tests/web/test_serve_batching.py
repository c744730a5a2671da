"""The threads behind the server, what it counts, and the process that watches over its workers."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from medimg_cli.errors import MachineError, MedimgError, RunError
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.web.serving import batching, supervisor
from medimg_cli.web.serving.batching import Batcher, StuckError
from medimg_cli.web.serving.prometheus import SLOTS, Counters, resident_bytes
from medimg_cli.web.serving.supervisor import READY, Supervisor


def said(number: int) -> Prediction:
    return Prediction("ok", str(number), 1.0, {})


def batcher_of(classify: Callable[[Sequence[Any]], list[Prediction]], *, batch: int = 4) -> Batcher:
    return Batcher(classify, decoders=2, batch=batch)


def test_what_waits_together_is_asked_together_and_answered_apart() -> None:
    batches: list[list[int]] = []

    def classify(numbers: Sequence[int]) -> list[Prediction]:
        batches.append(list(numbers))
        time.sleep(0.02)
        return [said(number) for number in numbers]

    async def ask() -> list[Prediction]:
        batcher = batcher_of(classify)
        return await asyncio.gather(*(batcher.ask(number) for number in range(10)))

    assert [answer.label for answer in asyncio.run(ask())] == [str(number) for number in range(10)]
    assert [number for batch in batches for number in batch] == list(range(10))
    assert max(map(len, batches)) == 4
    assert len(batches) < 10


def test_one_that_fails_fails_alone() -> None:
    def classify(numbers: Sequence[int]) -> list[Prediction]:
        if 3 in numbers:
            raise RuntimeError("three")
        return [said(number) for number in numbers]

    async def ask() -> list[Any]:
        batcher = batcher_of(classify, batch=8)
        return await asyncio.gather(*(batcher.ask(number) for number in range(8)), return_exceptions=True)

    answers = asyncio.run(ask())
    assert [isinstance(answer, RuntimeError) for answer in answers] == [n == 3 for n in range(8)]


def test_nobody_works_for_a_client_that_has_gone() -> None:
    asked: list[int] = []
    going = threading.Event()

    def classify(numbers: Sequence[int]) -> list[Prediction]:
        asked.extend(numbers)
        going.wait(5)
        return [said(number) for number in numbers]

    async def ask() -> None:
        batcher = batcher_of(classify, batch=1)
        first = asyncio.create_task(batcher.ask(1))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(batcher.ask(2))
        last = asyncio.create_task(batcher.ask(3))
        await asyncio.sleep(0)
        gone.cancel()
        going.set()
        await asyncio.gather(first, last)

    asyncio.run(ask())
    assert asked == [1, 3]


def test_work_that_takes_too_long_is_given_up_and_its_thread_counts_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    monkeypatch.setattr(batching, "_LOST_SECONDS", 0.1)

    async def lose() -> tuple[bool, bool, str]:
        batcher = batcher_of(lambda _: [])
        with pytest.raises(StuckError):
            await batcher.do(release.wait, 5, seconds=0.05)
        before = batcher.stuck
        other = await batcher.do(str, 1, seconds=5)
        await asyncio.sleep(0.15)
        after = batcher.stuck
        release.set()
        return before, after, other

    assert asyncio.run(lose()) == (False, True, "1")


def test_work_that_waits_for_a_thread_has_not_begun_to_take_long() -> None:
    async def wait() -> list[int]:
        batcher = Batcher(lambda _: [], decoders=1, batch=1)

        def slow(number: int) -> int:
            time.sleep(0.1)
            return number

        return await asyncio.gather(*(batcher.do(slow, number, seconds=0.3) for number in range(6)))

    assert asyncio.run(wait()) == list(range(6))


def test_workers_add_up_and_a_new_one_goes_on_counting() -> None:
    numbers = [0.0] * (2 * SLOTS)
    first, second = Counters(numbers, 0, 2), Counters(numbers, 1, 2)
    first.answered("/api/predict", 200, 0.03)
    second.answered("/api/predict", 200, 4.0)
    second.answered("/api/predict", 418, 4.0)
    second.set(ready=1, bytes=12)
    second = Counters(numbers, 1, 2)
    second.answered("/api/predict", 200, 99.0)
    text = first.text()
    assert 'medimg_requests_total{route="/api/predict",status="200"} 3' in text
    assert 'medimg_request_seconds_bucket{route="/api/predict",le="0.05"} 1' in text
    assert 'medimg_request_seconds_bucket{route="/api/predict",le="30.0"} 2' in text
    assert 'medimg_request_seconds_bucket{route="/api/predict",le="+Inf"} 3' in text
    assert 'medimg_request_seconds_sum{route="/api/predict"} 103.03' in text
    assert "medimg_upload_bytes 0\n" in text


def test_memory_is_of_this_process() -> None:
    assert resident_bytes(os.getpid()) > 10_000_000
    assert resident_bytes(0) == 0


def _worker(reports: Connection, way: str) -> None:
    if way == "refuses":
        reports.send(("error", RunError, "the model is gone", "train again"))
        return
    if way == "dies":
        os._exit(3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, (lambda *_: os._exit(0)) if way == "serves" else signal.SIG_IGN)
    reports.send((READY, None, "", ""))
    time.sleep(60)


class Seats:
    """Starts workers in processes of their own and remembers them."""

    def __init__(self, way: str = "serves") -> None:
        self.way = way
        self.processes: list[BaseProcess] = []
        self.notes: list[str] = []

    def start(self, _slot: int) -> tuple[BaseProcess, Connection]:
        context = get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_worker, args=(theirs, self.way), daemon=True)
        process.start()
        theirs.close()
        self.processes.append(process)
        return process, ours

    def until(self, started: int) -> Callable[[], None]:
        """Return what waits until so many workers were started."""

        def wait() -> None:
            end = time.monotonic() + 60
            while len(self.processes) < started and time.monotonic() < end:
                time.sleep(0.05)

        return wait

    def supervise(self, ready: Callable[[], None], *, grace_seconds: float = 5) -> bool:
        supervisor = Supervisor(self.start, workers=2, grace_seconds=grace_seconds, note=self.notes.append)
        return supervisor.run(ready)


def _later(*steps: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for step in steps:
            time.sleep(0.3)
            step()

    return lambda: threading.Thread(target=run, daemon=True).start()


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads, from Python 3.12 on
class TestSupervisor:
    def test_a_killed_worker_is_replaced_and_all_end_when_asked(self) -> None:
        slots = Seats()
        kill = lambda: os.kill(slots.processes[0].pid or 0, signal.SIGKILL)  # noqa: E731
        assert slots.supervise(_later(kill, slots.until(3), _stop))
        assert len(slots.processes) == 3
        assert "SIGKILL" in slots.notes[0]
        assert not any(process.is_alive() for process in slots.processes)

    @pytest.mark.parametrize(
        ("way", "error", "text"),
        [("refuses", RunError, "the model is gone"), ("dies", MachineError, "exit code 3")],
    )
    def test_a_worker_that_cannot_start_ends_it_with_the_reason(
        self, way: str, error: type[MedimgError], text: str
    ) -> None:
        slots = Seats(way)
        with pytest.raises(error, match=text):
            slots.supervise(lambda: pytest.fail("nobody is ready"))
        assert not any(process.is_alive() for process in slots.processes)

    def test_a_second_request_to_stop_does_not_wait(self) -> None:
        slots = Seats("stays")
        began = time.monotonic()
        assert not slots.supervise(_later(_stop, _stop), grace_seconds=30)
        assert time.monotonic() - began < 25
        for process in slots.processes:
            process.join(5)
            assert not process.is_alive()

    def test_a_worker_that_is_not_heard_of_is_killed_and_another_takes_its_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "SILENT_SECONDS", 0.2)
        slots = Seats()
        begun = time.monotonic()

        def beat(slot: int) -> float:  # once, a moment after the workers began
            return begun + 1.0 if slot == 0 and len(slots.processes) == 2 else 0.0

        watched = Supervisor(slots.start, workers=2, grace_seconds=5, note=slots.notes.append, last_beat=beat)
        assert watched.run(_later(slots.until(3), _stop))
        assert len(slots.processes) == 3
        assert slots.notes == ["worker 1 ended (signal SIGKILL); another takes its place"]
