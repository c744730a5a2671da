"""Results come in order, memory stays bounded, errors come through."""

import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medimg_cli.workspace import threads
from medimg_cli.workspace.threads import limit_this_process, map_ordered, one_ahead, usable_cores


def test_a_limit_that_a_system_has_not_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def limit(which: int, _: tuple[int, int]) -> None:
        if which == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")  # what macOS says
        held.append(which)

    monkeypatch.setattr(resource, "setrlimit", limit)
    limit_this_process(1 << 30, 60)
    assert held == [resource.RLIMIT_CPU, resource.RLIMIT_CORE]
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows
    limit_this_process(1 << 30, 60)


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_ordered(lambda item: item * 2, range(100), workers=3)) == list(range(0, 200, 2))


def test_items_are_taken_only_as_results_are() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    results = map_ordered(lambda item: item, items(), workers=2)
    next(results)
    assert taken <= 2 * 8 + 1


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(lambda item: 1 // item, [1, 0, 1], workers=2))


def test_work_leaves_the_calling_thread() -> None:
    names = set(map_ordered(lambda _: threading.current_thread().name, range(4), workers=2))
    assert threading.current_thread().name not in names
    assert usable_cores() >= 1


def test_the_next_item_is_worked_on_while_one_is_looked_at() -> None:
    begun = [threading.Event() for _ in range(4)]

    def work(number: int) -> int:
        begun[number].set()
        return number * number

    results = one_ahead(work, iter(range(4)))
    assert next(results) == 0
    assert begun[1].wait(timeout=60), "the second item was not begun before it was asked for"
    assert not begun[2].is_set()
    assert list(results) == [1, 4, 9]


def test_what_fails_ahead_is_raised_in_its_turn() -> None:
    results = one_ahead(lambda number: 1 // number, iter([1, 0, 1]))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("spread", [map_ordered, one_ahead])
def test_work_that_never_ends_is_not_waited_for(spread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE_SECONDS", 0.2)
    ending = threading.Event()
    results = spread(lambda item: ending.wait(60) if item else item, [0, 1, 1, 1])
    assert next(results) == 0
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 30
    ending.set()


HANGING = """
import sys, time
from medimg_cli.cli.app import main
from medimg_cli.dataset.ingest import examine
from medimg_cli.workspace import threads
threads.PATIENCE_SECONDS = 0.2
def hang(*_):
    print("hangs", flush=True)
    time.sleep(60)
examine.sha256_of_file = hang
main(["ingest", *sys.argv[1:]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_whose_reader_hangs_ends_soon_after_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    for name in ("SICK", "WELL"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for turn in range(3):
            Image.new("L", (8, 8), turn).save(tmp_path / "raw" / name / f"{turn}.png")
    command = [sys.executable, "-c", HANGING, str(tmp_path / "raw"), "-C", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("hangs")  # two threads may say it at once
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 20  # five on an idle machine; the reader hangs for 60
    assert process.returncode == 130
    assert "error: interrupted" in said
