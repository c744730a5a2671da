"""Commands on Dask: scheduler and workers are processes; the bytes are those of a call without them."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.errors import ExitCode, MedimgError, UsageError
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, draw_cohort, medimg
from tests.stages.test_shards import contents, ingest_of, write_dicom

distributed: Any = pytest.importorskip("distributed")
_PATIENCE_SECONDS = 60.0
SLOW_STORAGE = """
import time
from medimg_cli.images import readers
from medimg_cli.preprocessing import probe_images

def slow(read):
    def read_later(*arguments):
        time.sleep(0.05)
        return read(*arguments)
    return read_later

readers.read_image = probe_images.read_image = slow(readers.read_image)
"""


class Dask:
    """One scheduler and workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        folder.mkdir()
        (folder / "slow_storage.py").write_text(SLOW_STORAGE)
        self.processes: list[subprocess.Popen[bytes]] = []
        arguments = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        self.scheduler = self._begin("scheduler", *arguments)
        self.until(lambda: self._file.is_file() and self._file.read_text().rstrip().endswith("}"))
        self.address = str(json.loads(self._file.read_text())["address"])

    def worker(self, *more: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker that dies when it is killed: without a nanny, which would bring it back."""
        place = ("--local-directory", str(self._folder), "--no-dashboard")
        return self._begin("worker", "--no-nanny", "--nthreads", "1", *place, *more, **environment)

    def slow_worker(self) -> "subprocess.Popen[bytes]":
        return self.worker("--preload", str(self._folder / "slow_storage.py"))

    def workers(self) -> list[str]:
        with distributed.Client(self.address, timeout=_PATIENCE_SECONDS) as client:
            return list(client.scheduler_info(n_workers=-1)["workers"])

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _begin(self, kind: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{kind}",
            "--scheduler-file",
            str(self._file),
            *arguments,
        ]
        quiet = subprocess.DEVNULL
        paths = {"PYTHONPATH": str(REPOSITORY)}
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | paths | environment)
        self.processes.append(process)
        return process

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Return a scheduler with two workers."""
    running = Dask(tmp_path_factory.mktemp("dask") / "running")
    try:
        for _ in range(2):
            running.worker()
        yield running
    finally:
        running.end()


@pytest.fixture
def own_dask(tmp_path: Path) -> Iterator[Dask]:
    """Return a scheduler for one test, without workers yet."""
    running = Dask(tmp_path / "dask")
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def slow_dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Return a scheduler with two workers that read slowly; the last test that takes it ends it."""
    running = Dask(tmp_path_factory.mktemp("slow") / "running")
    try:
        for _ in range(2):
            running.slow_worker()
        running.until(lambda: len(running.workers()) == 2)
        yield running
    finally:
        running.end()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = draw_cohort(tmp_path / "raw", patients=24)
    (folder / "SPOT" / "notes.png").write_text("no image")
    return folder


def test_every_command_leaves_the_bytes_of_a_call_without_dask(
    tmp_path: Path, raw: Path, dask: Dask, trained: Workspace
) -> None:
    write_dicom(raw / "SPOT" / "Quintrell.dcm", frames=3, PatientName="Quintrell^Zeb")
    on = ("--scheduler", dask.address, "--set", "cluster.chunk=5")
    here, there = tmp_path / "here", tmp_path / "there"
    rates = ("label-audit", "--fail-on", "never", "--skip", "label-errors", "--ocr-sample", "3")
    for call in ((*ingest_of(tmp_path), "--frames", "all"), ("preprocess", "--size", "24"), rates):
        assert medimg(here, *call) == 0
        assert medimg(there, *call, *on) == 0
    made = ("audit.html", "audit.json")  # they say when they were made
    assert contents(there, *made) == contents(here, *made)
    predict = ("predict", str(raw), "--run", str(trained.runs_dir / "first"), "--batch-size", "4", "--out")
    assert medimg(here, *predict, str(tmp_path / "here.csv")) == ExitCode.PARTIAL
    assert medimg(there, *predict, str(tmp_path / "there.csv"), *on) == ExitCode.PARTIAL
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    copies = ("--key", str(tmp_path / "study.key"))
    assert medimg(here, "deidentify", str(raw), str(tmp_path / "clean-here"), *copies) == ExitCode.PARTIAL
    there_copies = ("deidentify", str(raw), str(tmp_path / "clean-there"), *copies)
    assert medimg(there, *there_copies, *on) == ExitCode.PARTIAL
    assert contents(tmp_path / "clean-there") == contents(tmp_path / "clean-here")


def test_a_relative_input_is_found_by_workers_that_run_elsewhere(
    tmp_path: Path, raw: Path, dask: Dask, trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw.parent)
    predict = ("predict", "raw/CLEAR", "--run", str(trained.runs_dir / "first"), "--out")
    assert medimg(tmp_path, *predict, "here.csv") == 0
    assert medimg(tmp_path, *predict, "there.csv", "--scheduler", dask.address) == 0
    assert Path("there.csv").read_bytes() == Path("here.csv").read_bytes()


@pytest.mark.usefixtures("raw")
def test_a_worker_that_dies_and_one_that_comes_change_nothing(tmp_path: Path, slow_dask: Dask) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        assert medimg(place, *ingest_of(tmp_path)) == 0
    assert medimg(here, "preprocess", "--size", "24") == 0
    _, first, _ = slow_dask.processes
    pixels, ended, was_running = there / "cache", threading.Event(), []

    def change() -> None:
        slow_dask.until(lambda: any(pixels.rglob("pixels.npy")))
        time.sleep(0.3)
        first.kill()
        slow_dask.slow_worker()
        was_running.append(not ended.is_set())

    change_later = threading.Thread(target=change)
    change_later.start()
    on = ("--scheduler", slow_dask.address, "--set", "cluster.chunk=1")
    assert medimg(there, "preprocess", "--size", "24", *on) == 0
    ended.set()
    change_later.join()
    assert was_running == [True]
    assert first.wait(_PATIENCE_SECONDS) == -signal.SIGKILL
    assert contents(there / "cache") == contents(here / "cache")
    assert not (there / "shards").exists()


@pytest.mark.usefixtures("raw")
def test_the_schedulers_end_is_one_error_and_the_command_goes_on_without_it(
    tmp_path: Path, slow_dask: Dask, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        assert medimg(place, *ingest_of(tmp_path)) == 0

    def end() -> None:
        slow_dask.until(lambda: any(there.rglob("journal.csv")))
        slow_dask.scheduler.kill()

    end_later = threading.Thread(target=end)
    end_later.start()
    on = ("--scheduler", slow_dask.address, "--set", "cluster.chunk=1")
    capsys.readouterr()
    assert medimg(there, "preprocess", "--size", "24", *on) == ExitCode.MACHINE
    end_later.join()
    error = capsys.readouterr().err
    assert "is gone" in error and error.count("\n") == 2, error
    assert medimg(there, "preprocess", "--size", "24") == 0
    assert medimg(here, "preprocess", "--size", "24") == 0
    assert contents(there / "cache") == contents(here / "cache")


def test_what_a_worker_finds_wrong_is_said_as_here(
    tmp_path: Path, raw: Path, dask: Dask, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(tmp_path / "w", *ingest_of(tmp_path)) == 0
    (raw / "SPOT" / "patient005_1.png").write_bytes((raw / "SPOT" / "patient003_1.png").read_bytes())
    capsys.readouterr()
    for more in ((), ("--scheduler", dask.address)):
        assert medimg(tmp_path / "w", "preprocess", "--size", "24", *more) == ExitCode.DATA
    assert not (tmp_path / "w" / "shards").exists()
    one, two, three, four = capsys.readouterr().err.splitlines()
    assert (one, two) == (three, four)


@pytest.mark.slow
@pytest.mark.usefixtures("raw")
def test_an_image_that_no_worker_survives_is_one_error(
    tmp_path: Path, own_dask: Dask, capsys: pytest.CaptureFixture[str]
) -> None:
    deadly = "import os\nfrom medimg_cli.images import readers\nreaders.read_image = lambda *_: os._exit(9)\n"
    (tmp_path / "deadly.py").write_text(deadly)
    for _ in range(5):
        own_dask.worker("--preload", str(tmp_path / "deadly.py"))
    on = ("--scheduler", own_dask.address, "--set", "cluster.chunk=1000")
    own_dask.until(lambda: len(own_dask.workers()) == 5)
    assert medimg(tmp_path / "w", *ingest_of(tmp_path), *on) == ExitCode.MACHINE
    error = capsys.readouterr().err
    assert "died again and again" in error and error.count("\n") == 2, error


@pytest.mark.parametrize(
    "address",
    [
        "host",
        "tcp://host",
        "local:0",
        "local:a",
        "http://host:1",
        "tcp://a:b@host:1",
        "tcp://host:123456",
        "",
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    assert medimg(tmp_path, "preprocess", f"--scheduler={address}") == ExitCode.USAGE


def test_nobody_there_no_worker_there_two_ways_at_once_and_another_version_are_refused(
    tmp_path: Path, raw: Path, own_dask: Dask, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("--set", "cluster.patience_seconds=1")
    for address in ("tcp://127.0.0.1:9", own_dask.address):
        assert medimg(tmp_path, "preprocess", "--scheduler", address, *short) == ExitCode.MACHINE
        assert address in capsys.readouterr().err
    both = ("--scheduler", own_dask.address, "--shard", "1/2")
    assert medimg(tmp_path, "preprocess", *both) == ExitCode.USAGE
    (tmp_path / "older.py").write_text("import medimg_cli\nmedimg_cli.__version__ = '0.0.9'\n")
    own_dask.worker("--preload", str(tmp_path / "older.py"))
    assert medimg(tmp_path / "w", *ingest_of(raw.parent), "--scheduler", own_dask.address) == ExitCode.MACHINE
    assert "medimg 0.0.9" in capsys.readouterr().err


def test_a_scheduler_elsewhere_without_encryption_is_warned_of() -> None:
    from medimg_cli.workspace.cluster import _warn_of_open_network

    warnings: list[str] = []

    class Listener(SilentProgress):
        def warn(self, message: str) -> None:
            warnings.append(message)

    remarks = Listener()
    for address in ("tcp://127.0.0.1:8786", "tcp://localhost:8786", "tls://node7:8786"):
        _warn_of_open_network(address, remarks)
    assert warnings == []
    _warn_of_open_network("tcp://node7:8786", remarks)
    assert "not encrypted" in warnings[0]


def test_an_error_goes_from_one_process_to_another_whole() -> None:
    error: MedimgError = pickle.loads(pickle.dumps(UsageError("what", "hint")))
    assert (type(error), error.what, error.hint) == (UsageError, "what", "hint")
