"""A file whose reading never ends costs its row, never the command; a signal ends whatever a command waits in."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medimg_cli.workspace.threads import map_ordered
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort

# `ctypes` lets go of the interpreter's lock in foreign code, as decoders do: no signal handler of Python runs in there.
HANGING = """
import ctypes, sys
from medimg_cli.cli.app import main
from medimg_cli.images import readers
sleep, read = ctypes.CDLL(None).sleep, readers.read_content
def hang(stream, name, *rest, **more):
    if name == "patient003_1.png":
        sleep(90)
    return read(stream, name, *rest, **more)
readers.read_content = hang
main(sys.argv[1:])
"""
WAITING = """
import ctypes, sys
from medimg_cli.cli import app
def wait(*_, **__):
    print("waits", flush=True)
    ctypes.CDLL(None).pthread_join(*sleeper())
def sleeper():
    libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
    start = ctypes.cast(libc.sleep, ctypes.c_void_p)
    libc.pthread_create(ctypes.byref(thread), None, start, ctypes.c_void_p(90))
    return thread, None
app.app = wait
app.main(["runs"])
"""


def test_late_items_are_given_up_and_others_are_still_worked_on() -> None:
    def work(item: int) -> int:
        if item in (1, 2, 5):
            time.sleep(2.0)
        return item

    began = time.monotonic()
    given = list(map_ordered(work, range(40), workers=2, seconds=0.2, late=lambda item: -item))
    assert given == [-item if item in (1, 2, 5) else item for item in range(40)]
    assert time.monotonic() - began < 1.5


def _run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done, time.monotonic() - began


def test_a_file_that_hangs_is_quarantined_and_the_ingest_ends(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=10)
    limit = ("--set", "ingest.decode_seconds=1")
    done, seconds = _run("ingest", str(raw), "-C", str(tmp_path), "--json", "-q", *limit)
    assert done.returncode == 0, done.stderr
    assert seconds < 30
    told = json.loads(done.stdout)
    assert told["images"] == 19
    assert told["quarantined"] == 1
    rows = (tmp_path / "dataset" / "quarantine.csv").read_text()
    assert "patient003_1.png,reading it takes longer than 1 s" in rows


def test_a_file_that_hangs_is_an_unreadable_row_of_predict(trained: Workspace, tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=4)
    done, seconds = _run(
        "predict", str(raw), "-C", str(trained.root), "--json", "-q", "--set", "predict.decode_seconds=1"
    )
    assert done.returncode == 4, done.stderr
    assert seconds < 30
    rows = {Path(row["path"]).name: row for row in json.loads(done.stdout)["predictions"]}
    assert len(rows) == 8
    assert rows["patient003_1.png"]["status"] == "unreadable"
    assert rows["patient003_1.png"]["message"] == "reading it takes longer than 1 s"
    assert rows["patient003_0.png"]["status"] == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="waits in pthread_join, which no signal interrupts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_command_whose_main_thread_waits_in_foreign_code(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "waits"
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert said.startswith("error: interrupted")
    assert len(said.splitlines()) == 2
