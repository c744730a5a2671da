"""A file whose reading never ends costs its row, never the command; a signal ends whatever a command waits in."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from medimg_cli.privacy.removal import deidentify_file
from medimg_cli.privacy.removal.deidentify_raster import deidentify_raster
from medimg_cli.privacy.removal.profile import CleanFile, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.threads import map_ordered
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg

# `ctypes` lets go of the interpreter's lock in foreign code, as decoders do: no signal handler of Python runs in there.
HANGING = """
import ctypes, sys
from medimg_cli.cli.app import main
from medimg_cli.images import readers
from medimg_cli.workspace import threads
threads.PATIENCE_SECONDS = 0.2
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
app.app, app._SECONDS_TO_END = wait, 0.3
app.main(["runs"])
"""


def test_late_items_are_given_up_and_others_are_still_worked_on() -> None:
    ending = threading.Event()

    def work(item: int) -> int:
        if item in (1, 2, 5):
            ending.wait(60)
        return item

    began = time.monotonic()
    given = list(map_ordered(work, range(40), workers=2, seconds=0.2, late=lambda item: -item))
    assert given == [-item if item in (1, 2, 5) else item for item in range(40)]
    assert time.monotonic() - began < 30
    ending.set()


def _run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *arguments], capture_output=True, text=True, check=False, timeout=80
    )
    return done, time.monotonic() - began


def test_a_file_that_hangs_is_quarantined_and_the_ingest_ends(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=10)
    limit = ("--set", "ingest.decode_seconds=1")
    done, seconds = _run("ingest", str(raw), "-C", str(tmp_path), "--json", "-q", *limit)
    assert done.returncode == 0, done.stderr
    assert seconds < 60
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
    assert seconds < 60
    rows = {Path(row["path"]).name: row for row in json.loads(done.stdout)["predictions"]}
    assert len(rows) == 8
    assert rows["patient003_1.png"]["status"] == "unreadable"
    assert rows["patient003_1.png"]["message"] == "reading it takes longer than 1 s"
    assert rows["patient003_0.png"]["status"] == "ok"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("preprocess", 3, "can no longer be read: reading it takes longer than 1 s"),
        ("label-audit", 1, "reading it takes longer than 1 s"),
        ("info", 3, "cannot be read: reading it takes longer than 1 s"),
    ],
)
def test_a_file_that_hangs_after_its_ingest_ends_no_command_in_waiting(
    tmp_path: Path, command: str, code: int, words: str
) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=10)
    assert medimg(tmp_path, "ingest", str(raw), "--positive", "SPOT", "-q") == 0
    limit = "label_audit" if command == "label-audit" else "preprocess"
    file = [str(next(raw.rglob("patient003_1.png")))] if command == "info" else []
    checks = ["--checks", "unreadable"] if command == "label-audit" else []
    asked = ("-C", str(tmp_path), *checks, "--set", f"{limit}.decode_seconds=1")
    done, seconds = _run(command, *file, *asked)
    assert seconds < 60
    assert done.returncode == code, done.stderr
    told = done.stdout + done.stderr + "".join(p.read_text() for p in tmp_path.glob("audit/*.csv"))
    assert words in told.replace("\n", " ")


def test_a_file_that_takes_too_long_to_clean_is_told_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(content: bytes, kind: str) -> CleanFile:
        if len(content) == slowest:
            time.sleep(0.8)
        return deidentify_raster(content, kind)

    names, slowest = ("a.png", "b.png"), 0
    for side, name in enumerate(names, start=8):
        Image.new("L", (side, 4096)).save(tmp_path / name)
    slowest = (tmp_path / "b.png").stat().st_size
    monkeypatch.setattr(deidentify_file, "deidentify_raster", slow)
    worker = deidentify_file.Deidentifier(Profile(), Pseudonyms(bytes(32)), "keep", seconds=0.5)
    originals = [deidentify_file.Original(name, tmp_path / name) for name in names]
    done = list(worker.files(originals, tmp_path / "clean", SilentProgress()))
    assert [one.reason for one in done] == ["", "reading it takes longer than 0.5 s"]
    time.sleep(0.6)
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["a.png"]


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
    assert time.monotonic() - began < 20  # the command waits for 90
    assert process.returncode == 130
    assert said.startswith("error: interrupted")
    assert len(said.splitlines()) == 2
