"""Sources and outputs in object storage: moto's S3 server, and a web server, each on a port of this machine."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode
from medimg_cli.workspace import remote
from medimg_cli.workspace.plain_text import redacted, url_of
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg

pytest.importorskip("s3fs")
SECRET = "Zq8xSecretOfTheTest"


class Store:
    """An S3 server with one bucket, and what is asked of it from outside medimg."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._begin: Callable[..., Any] = partial(ThreadedMotoServer, ip_address="127.0.0.1", verbose=False)
        self._server = self._begin(port=0)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def restart(self, *, after_seconds: float) -> threading.Timer:
        """Stop the server now, and start it on the same port later; what it holds stays."""
        self._server.stop()
        self._server = self._begin(port=self.port)
        later = threading.Timer(after_seconds, self._server.start)
        later.start()
        return later

    def end(self) -> None:
        self._server.stop()

    @property
    def client(self) -> Any:
        import s3fs

        return s3fs.S3FileSystem(
            key="testing",
            secret=SECRET,
            endpoint_url=self.endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
        )


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    store = Store()
    yield store
    store.end()


@pytest.fixture
def store(running: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the server with a bucket `study`, whose credentials are in the environment."""
    surroundings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # one that knows another address
    client = running.client
    if client.exists("study"):
        client.rm("study", recursive=True)
    client.mkdir("study")
    return running


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = draw_cohort(tmp_path / "raw", patients=8)
    (folder / "SPOT" / "notes.png").write_text("no image")
    return folder


INGEST = ("--positive", "SPOT", "--patient-regex", r"(patient\d+)")


def manifest(workspace: Path) -> list[list[str]]:
    """Return the cells of a manifest without the paths."""
    lines = (workspace / "dataset" / "manifest.csv").read_text().splitlines()
    place = lines[0].split(",").index("path")
    return [[cell for number, cell in enumerate(line.split(",")) if number != place] for line in lines]


def everything_written(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_source_in_a_bucket_is_the_same_data_set(
    tmp_path: Path, raw: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.client.put(str(raw), "study/raw", recursive=True)
    assert medimg(tmp_path / "here", "ingest", str(raw), *INGEST) == 0
    assert medimg(tmp_path / "there", "ingest", "s3://study/raw", *INGEST) == 0
    assert manifest(tmp_path / "there") == manifest(tmp_path / "here")
    record = json.loads((tmp_path / "there" / "downloads" / "s3" / "study" / "raw.json").read_text())
    assert len(record["objects"]) == 17
    assert all(len(kept["sha256"]) == 64 for kept in record["objects"].values())
    output = capsys.readouterr()
    assert SECRET not in output.err + output.out
    assert SECRET.encode() not in everything_written(tmp_path / "there")


def test_only_what_came_changed_or_went_is_fetched_again(
    tmp_path: Path, raw: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = store.client
    client.put(str(raw), "study/raw", recursive=True)
    work = tmp_path / "there"
    assert medimg(work, "ingest", "s3://study/raw", *INGEST) == 0
    streamed: list[str] = []
    whole = remote._streamed

    def noted(*arguments: Any) -> Any:
        streamed.append(arguments[1]["path"])
        return whole(*arguments)

    monkeypatch.setattr(remote, "_streamed", noted)
    client.rm("study/raw/SPOT/patient001_0.png")
    client.put(str(raw / "SPOT" / "patient003_0.png"), "study/raw/SPOT/patient003_1.png")
    client.put(str(raw / "SPOT" / "patient005_0.png"), "study/raw/SPOT/patient009_0.png")
    assert medimg(work, "ingest", "s3://study/raw") == 0
    assert sorted(streamed) == ["study/raw/SPOT/patient003_1.png", "study/raw/SPOT/patient009_0.png"]
    assert "vanished since the last ingest" in (work / "dataset" / "quarantine.csv").read_text()
    assert not (work / "downloads" / "s3" / "study" / "raw" / "SPOT" / "patient001_0.png").exists()


def test_a_server_that_is_restarted_midway_changes_nothing(
    tmp_path: Path, raw: Path, store: Store, monkeypatch: pytest.MonkeyPatch, trained: Workspace
) -> None:
    store.client.put(str(raw), "study/raw", recursive=True)
    restarts: list[threading.Timer] = []
    whole = remote._streamed

    def interrupted(*arguments: Any) -> Any:
        if len(restarts) == 0 and "patient003_0" in arguments[1]["path"]:
            restarts.append(store.restart(after_seconds=0.2))
        return whole(*arguments)

    monkeypatch.setattr(remote, "_streamed", interrupted)
    assert medimg(tmp_path / "here", "ingest", str(raw), *INGEST) == 0
    assert medimg(tmp_path / "there", "ingest", "s3://study/raw", *INGEST) == 0
    assert len(restarts) == 1
    restarts[0].join()
    assert manifest(tmp_path / "there") == manifest(tmp_path / "here")
    tried = remote._trying

    def restarting(action: Callable[[], Any], url: str) -> Any:
        if "answers.csv" in url and len(restarts) == 1:
            restarts.append(store.restart(after_seconds=0.2))
        return tried(action, url)

    monkeypatch.setattr(remote, "_trying", restarting)
    predict = ("predict", str(raw / "SPOT"), "--run", str(trained.runs_dir / "first"), "--out")
    assert medimg(tmp_path, *predict, str(tmp_path / "answers.csv")) == ExitCode.PARTIAL
    assert medimg(tmp_path, *predict, "s3://study/out/answers.csv") == ExitCode.PARTIAL
    assert len(restarts) == 2
    assert store.client.cat("study/out/answers.csv") == (tmp_path / "answers.csv").read_bytes()


def test_a_read_that_breaks_goes_on_at_its_byte(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 20_000
    store.client.pipe("study/large.bin", content)
    monkeypatch.setattr("time.sleep", lambda _: None)
    opened = remote._store
    starts: list[int] = []

    class Breaking:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def open(self, *arguments: Any, **more: Any) -> Any:
            stream = self._real.open(*arguments, **more)
            read, left = stream.read, 2

            def read_some(count: int) -> bytes:
                nonlocal left
                if left == 0 and len(starts) < 3:
                    raise ConnectionResetError("cut")
                if left == 2:
                    starts.append(stream.tell())
                left -= 1
                block: bytes = read(count)
                return block

            stream.read = read_some
            return stream

    def breaking(url: str) -> tuple[Any, str]:
        real, path = opened(url)
        return Breaking(real), path

    monkeypatch.setattr(remote, "_store", breaking)
    place = remote.fetch("s3://study/large.bin", tmp_path, SilentProgress())
    assert starts == [0, 2 << 20, 4 << 20]
    assert place.read_bytes() == content


@pytest.mark.usefixtures("store")
def test_a_bundle_goes_to_a_bucket_and_answers_from_there(
    tmp_path: Path, raw: Path, trained: Workspace
) -> None:
    model = str(trained.runs_dir / "first")
    assert medimg(tmp_path, "bundle", model, "--out", "s3://study/models/first.zip") == 0
    predict = ("predict", str(raw / "CLEAR"), "--out")
    assert medimg(tmp_path, *predict, str(tmp_path / "a.csv"), "--run", model) == 0
    assert medimg(tmp_path, *predict, str(tmp_path / "b.csv"), "--run", "s3://study/models/first.zip") == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert not list((tmp_path / "downloads").rglob("out/*/*"))


def test_predictions_in_a_bucket_are_gone_on_with(
    tmp_path: Path, raw: Path, store: Store, trained: Workspace
) -> None:
    predict = ("predict", str(raw / "CLEAR"), "--run", str(trained.runs_dir / "first"), "--out")
    assert medimg(tmp_path, *predict, "s3://study/answers.csv") == 0
    whole = store.client.cat("study/answers.csv")
    store.client.pipe("study/answers.csv", whole[: len(whole) // 2])
    assert medimg(tmp_path, *predict, "s3://study/answers.csv", "--resume") == 0
    assert store.client.cat("study/answers.csv") == whole


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    (tmp_path / "site").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_on_a_web_server_with_a_signature_leaves_none_of_it(
    tmp_path: Path, raw: Path, website: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.make_archive(str(tmp_path / "site" / "study"), "zip", raw)
    url = f"{website}/study.zip?X-Amz-Signature={SECRET}"
    assert medimg(tmp_path / "there", "ingest", url, *INGEST) == 0
    assert medimg(tmp_path / "there", "ingest", url.replace("study", "other"), *INGEST) == ExitCode.DATA
    output = capsys.readouterr()
    assert SECRET not in output.err + output.out
    assert SECRET.encode() not in everything_written(tmp_path / "there")


def test_an_address_of_a_file_here_is_its_path(tmp_path: Path, raw: Path) -> None:
    assert medimg(tmp_path / "one", "ingest", str(raw), *INGEST) == 0
    assert medimg(tmp_path / "two", "ingest", f"file://{raw}", *INGEST) == 0
    assert (tmp_path / "one" / "dataset" / "manifest.csv").read_bytes() == (
        tmp_path / "two" / "dataset" / "manifest.csv"
    ).read_bytes()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("ingest", "s3://study/nothing"), ExitCode.DATA),
        (("ingest", "s3://no-such-bucket/raw"), ExitCode.DATA),
        (("ingest", f"s3://key:{SECRET}@study/raw"), ExitCode.USAGE),
        (("deidentify", "raw", "s3://study/clean"), ExitCode.USAGE),
        (("ingest", "s3://study/raw", "--shard", "1/2"), ExitCode.USAGE),
        (("ingest", "s3://study/odd"), ExitCode.DATA),
        (("preprocess", "--config", "https://host/medimg.yaml"), ExitCode.USAGE),
    ],
    ids=["nothing", "no bucket", "credentials", "folder", "shard", "name", "config"],
)
def test_what_cannot_be_an_address_or_is_not_there_is_one_error(
    tmp_path: Path, store: Store, call: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store.client.pipe("study/odd/../up.png", b"x")
    assert medimg(tmp_path, *call) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 2, error
    assert SECRET not in error


def test_a_workspace_cannot_be_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("s3://study/work", "https://host/work", "file:///work"):
        assert run(["ingest", "raw", "--workspace", address]) == ExitCode.USAGE
        assert "cannot be an address" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_no_server_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(remote, "_TRIES", 2)
    assert medimg(tmp_path, "ingest", "s3://study/raw") == ExitCode.MACHINE
    assert "does not answer, tried 2 times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://u:p@h/x", "https://***@h/x"),
        ("dicom://CT1@h:104, dicoms://u:p@h:104", "dicom://CT1@h:104, dicoms://***@h:104"),
        ("see s3:/k:s@b/x?sig=1&a=2 now", "see s3:/***@b/x?*** now"),
        ("a@b and what? no address", "a@b and what? no address"),
    ],
)
def test_credentials_in_addresses_are_not_shown(text: str, plain: str) -> None:
    assert redacted(text) == plain
    assert url_of("C:/data") == url_of("raw/s3:x") == url_of("") == ""
