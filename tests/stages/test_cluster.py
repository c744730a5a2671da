"""Commands on Dask: scheduler and workers are processes; the bytes are those of a call without them."""

import importlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode, MedimgError, UsageError
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, draw_cohort, medimg
from tests.stages.test_shards import contents, ingest_of, write_dicom

distributed: Any = pytest.importorskip("distributed")
_PATIENCE_SECONDS = 60.0
MORTAL, STAYING, NEW = "mortal", "staying", "new"
ACT = """
import os, signal, time
from pathlib import Path
from medimg_cli.workspace import cluster

cluster.plain = getattr(cluster, "plain", cluster.do_chunk)  # Dask loads this twice
do, done, folder, role = cluster.plain, [], Path(os.environ["FOLDER"]), os.environ["ROLE"]

def act(*arguments):
    if role == "new":
        (folder / "came").touch()
    done.append(do(*arguments))
    if role == "mortal" and len(done) == int(os.environ["CHUNK"]):
        (folder / "died").touch()
        os.kill(int(os.environ.get("VICTIM", os.getpid())), signal.SIGKILL)
    patience = time.monotonic() + 2  # what this one holds may be all that is in flight
    while role == "staying" and (folder / "died").exists() and not (folder / "came").exists():
        if time.monotonic() > patience:
            break
        time.sleep(0.02)
    return done[-1]

cluster.do_chunk = act
"""


class Dask:
    """One scheduler and workers, each a process."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder, self._environment = folder, environment
        self._file = folder / "scheduler.json"
        folder.mkdir()
        (folder / "act.py").write_text(ACT)
        self.processes: list[subprocess.Popen[bytes]] = []
        arguments = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        self.scheduler = self._begin("scheduler", *arguments)
        self.until(lambda: self._file.is_file() and self._file.read_text().rstrip().endswith("}"))
        self.address = str(json.loads(self._file.read_text())["address"])

    def worker(self, *more: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker that dies when it is killed: without a nanny, which would bring it back."""
        place = ("--local-directory", str(self._folder), "--no-dashboard")
        return self._begin("worker", "--no-nanny", "--nthreads", "1", *place, *more, **environment)

    def acting(self, role: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker that dies after a chunk, or stays and then waits until the new one has come, or is that."""
        preload = ("--preload", str(self._folder / "act.py"))
        return self.worker(*preload, ROLE=role, FOLDER=str(self._folder), **environment)

    def replace(self) -> None:
        """Start a new worker when one has died."""
        self.until((self._folder / "died").exists)
        self.acting(NEW)

    @property
    def replaced(self) -> bool:
        return (self._folder / "came").exists()

    def workers(self) -> list[str]:
        with distributed.Client(self.address, timeout=_PATIENCE_SECONDS) as client:
            return list(client.scheduler_info(n_workers=-1)["workers"])

    def __enter__(self) -> "Dask":
        return self

    def __exit__(self, *_: object) -> None:
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
        given = {"PYTHONPATH": str(REPOSITORY)} | self._environment | environment
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | given)
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
    with Dask(tmp_path_factory.mktemp("dask") / "running") as running:
        for _ in range(2):
            running.worker()
        yield running


@pytest.fixture
def own_dask(tmp_path: Path) -> Iterator[Dask]:
    """Return a scheduler for one test, without workers yet."""
    with Dask(tmp_path / "dask") as running:
        yield running


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


COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": ((), ("ingest", "{raw}", "--positive", "SPOT", "--patient-regex", r"(patient\d+)")),
    "label-audit": (("ingest",), ("label-audit", "--fail-on=never", "--skip=label-errors", "--ocr-sample=3")),
    "preprocess": (("ingest",), ("preprocess", "--size", "24")),
    "predict": ((), ("predict", "{raw}", "--run", "{run}", "--batch-size", "2", "--out", "{place}/rows.csv")),
    "deidentify": ((), ("deidentify", "{raw}", "{place}/copies", "--key", "{place}/../study.key")),
}
CHUNKS = [
    pytest.param(
        command,
        chunk,
        marks=() if (command, chunk) in (("preprocess", 3), ("ingest", 2)) else pytest.mark.slow,
    )
    for command in COMMANDS
    for chunk in (1, 2, 3)
]


def call(place: Path, command: str, trained: Workspace, *more: str) -> int:
    """Run a command, and before it without Dask what it needs, into one folder."""
    before, arguments = COMMANDS[command]
    names = {"raw": place.parent / "raw", "run": trained.runs_dir / "first", "place": place}
    for each in before if not (place / "dataset").exists() else ():
        assert call(place, each, trained) in (0, ExitCode.PARTIAL)
    return medimg(place, *(argument.format(**names) for argument in arguments), *more)


def left_by(place: Path) -> dict[str, bytes]:
    return contents(place, "audit.html", "audit.json", "log.txt")  # they say when they were made


@pytest.mark.parametrize(("command", "chunk"), CHUNKS)
def test_a_worker_that_dies_and_one_that_comes_change_nothing(
    tmp_path: Path, raw: Path, own_dask: Dask, trained: Workspace, command: str, chunk: int
) -> None:
    write_dicom(raw / "SPOT" / "Quintrell.dcm", PatientName="Quintrell^Zeb")
    first = own_dask.acting(MORTAL, CHUNK=str(chunk))
    for _ in range(2):
        own_dask.acting(STAYING)
    here, there = tmp_path / "here", tmp_path / "there"
    code = call(here, command, trained)
    own_dask.until(lambda: len(own_dask.workers()) == 3)
    threading.Thread(target=own_dask.replace).start()
    on = ("--scheduler", own_dask.address, "--set", "cluster.chunk=1")
    assert call(there, command, trained, *on) == code
    assert first.wait(_PATIENCE_SECONDS) == -signal.SIGKILL
    assert own_dask.replaced
    assert left_by(there) == left_by(here)


@pytest.mark.parametrize(("command", "chunk"), CHUNKS)
def test_the_schedulers_end_is_one_error_and_the_command_goes_on_without_it(
    tmp_path: Path,
    raw: Path,
    own_dask: Dask,
    trained: Workspace,
    capsys: pytest.CaptureFixture[str],
    command: str,
    chunk: int,
) -> None:
    write_dicom(raw / "SPOT" / "Quintrell.dcm", PatientName="Quintrell^Zeb")
    own_dask.acting(MORTAL, CHUNK=str(chunk), VICTIM=str(own_dask.scheduler.pid))
    here, there = tmp_path / "here", tmp_path / "there"
    code = call(here, command, trained)
    own_dask.until(lambda: len(own_dask.workers()) == 1)
    on = ("--scheduler", own_dask.address, "--set", "cluster.chunk=1")
    capsys.readouterr()
    assert call(there, command, trained, *on) == ExitCode.MACHINE
    error = capsys.readouterr().err
    assert "is gone" in error and error.count("\n") == 2, error
    assert call(there, command, trained, *(("--resume",) if command == "predict" else ())) == code
    assert left_by(there) == left_by(here)


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


@pytest.mark.usefixtures("raw")
def test_a_fault_that_cannot_be_sent_whole_ends_the_command(
    tmp_path: Path, own_dask: Dask, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = "from medimg_cli.images import readers\ndef deeper(*_): return deeper()\n"
    (tmp_path / "deep.py").write_text(
        deep + "from medimg_cli.workspace import cluster\ncluster._work_in = deeper\n"
    )
    own_dask.worker("--preload", str(tmp_path / "deep.py"))
    assert medimg(tmp_path / "w", *ingest_of(tmp_path), "--scheduler", own_dask.address) == ExitCode.BUG
    assert "recursion" in capsys.readouterr().err


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


def certificates(folder: Path) -> dict[str, str]:
    """Return Dask's settings of a certificate of an authority of its own, made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder.mkdir()
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout key.pem -out asked.pem",
        "x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    files = {"ca-file": "ca.pem"}
    for role in ("client", "scheduler", "worker"):
        files |= {f"{role}.key": "key.pem", f"{role}.cert": "cert.pem"}
    return {f"distributed.comm.tls.{key}": str(folder / file) for key, file in files.items()}


@pytest.mark.usefixtures("raw")
def test_certificates_are_those_of_dasks_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dask = importlib.import_module("dask")
    own, others = certificates(tmp_path / "own"), certificates(tmp_path / "others")
    environment = {
        f"DASK_{key.replace('.', '__').replace('-', '_').upper()}": file for key, file in own.items()
    }
    environment |= {"DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls"}
    ingest = (*ingest_of(tmp_path), "--set", "cluster.patience_seconds=4", "--scheduler")
    with Dask(tmp_path / "dask", **environment) as running, dask.config.set(own):
        running.worker()
        assert running.address.startswith("tls://")
        running.until(lambda: len(running.workers()) == 1)
        capsys.readouterr()
        assert run([*ingest, running.address, "-C", str(tmp_path / "there")]) == 0
        assert "not encrypted" not in capsys.readouterr().err
        plain = running.address.replace("tls", "tcp")
        for settings, address in (
            (others, running.address),
            (own, plain),
            (dict.fromkeys(own), running.address),
        ):
            with dask.config.set(settings):
                began = time.monotonic()
                assert medimg(tmp_path / "none", *ingest, address) == ExitCode.MACHINE
                error = capsys.readouterr().err
                assert error.count("\n") == 2 and address in error and "tls" in error, error
                assert time.monotonic() - began < 20
    assert medimg(tmp_path / "here", *ingest_of(tmp_path)) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_scheduler_elsewhere_without_encryption_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for address, warned in (
        ("tcp://127.0.0.1:9", False),
        ("tcp://localhost:9", False),
        ("tcp://127.0.0.2:9", True),
    ):
        call = (
            "preprocess",
            "--set",
            "cluster.patience_seconds=1",
            "--scheduler",
            address,
            "-C",
            str(tmp_path),
        )
        assert run([*call]) == ExitCode.MACHINE
        assert ("not encrypted" in capsys.readouterr().err) == warned


def test_an_error_goes_from_one_process_to_another_whole() -> None:
    error: MedimgError = pickle.loads(pickle.dumps(UsageError("what", "hint")))
    assert (type(error), error.what, error.hint) == (UsageError, "what", "hint")
