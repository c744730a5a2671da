"""`medimg serve` as a shell starts it: the command line's own probabilities, in good order until it is told to stop."""

import json
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing.heap import Heap
from pathlib import Path

import httpx
import pytest

from medimg_cli.errors import ExitCode
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.web.server_process import running_server
from tests.web.serving import dicom, png

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_others_can_reach_needs_a_token(
    host: str, trained: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDIMG_TOKEN", raising=False)
    assert medimg(trained.root, "serve", "--host", host) == ExitCode.USAGE
    assert "MEDIMG_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_token_that_can_be_guessed_is_refused(
    by: str, trained: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIMG_TOKEN", "short" if by == "environment" else "")
    options = ["--token", "short"] if by == "option" else []
    assert medimg(trained.root, "serve", *options) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "can be guessed" in said
    assert "short" not in said.replace("--token short", "")


def test_a_port_that_is_taken_is_named(trained: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert medimg(trained.root, "serve", "--port", str(port)) == ExitCode.MACHINE
    assert f"port {port} of 127.0.0.1" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems share memory without /dev/shm")
def test_a_machine_without_shared_memory_is_told_what_to_mount(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("multiprocessing.heap.Arena._dir_candidates", ["/dev/nowhere"])
    monkeypatch.setattr("multiprocessing.heap.BufferWrapper._heap", Heap())
    assert medimg(trained.root, "serve", "--port", "0") == ExitCode.MACHINE
    assert "mount /dev/shm" in capsys.readouterr().err


def test_a_run_that_cannot_be_used_is_told_by_its_worker(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "runs" / "broken"
    broken.mkdir(parents=True)
    (broken / "model.json").write_text("{}")
    assert medimg(tmp_path, "serve", "--port", "0") == ExitCode.RUN
    assert "model.json" in capsys.readouterr().err
    assert medimg(trained.root, "serve", "no-such-run") == ExitCode.RUN


def test_it_answers_as_the_command_line_does_survives_a_killed_worker_and_finishes(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((trained.root / "raw" / "SPOT").glob("*.png"))[:6]
    (tmp_path / "a.dcm").write_bytes(dicom((0, 224)))
    (tmp_path / "none.png").write_bytes(b"none")
    paths = [*files, tmp_path / "a.dcm", tmp_path / "none.png"]
    medimg(trained.root, "predict", *map(str, paths), "--json")
    expected = json.loads(capsys.readouterr().out)["predictions"]
    log = tmp_path / "audit.jsonl"
    with running_server(trained.root, "--audit-log", str(log), "--max-upload-mb", "1") as server:
        answer = httpx.post(
            f"{server.address}api/predict",
            files=[("files", (path.name, path.read_bytes())) for path in paths],
            timeout=60,
        )
        given = answer.json()["predictions"]
        for ours, theirs in zip(given, expected, strict=True):
            same = {"path", "error"}
            assert {k: v for k, v in ours.items() if k not in same} == {
                k: v for k, v in theirs.items() if k not in same
            }
        exact = [json.dumps(entry["probabilities"]) for entry in given]
        assert exact == [json.dumps(entry["probabilities"]) for entry in expected]
        assert all(text in answer.text for text in exact)
        assert len(log.read_text().splitlines()) == len(given)
        assert httpx.get(server.address, timeout=60).status_code == 200

        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_for()
        assert worker not in server.workers()
        assert any("SIGKILL" in line for line in server.said)

        late: list[int] = []
        ask = threading.Thread(target=lambda: late.append(_slowly(server.address)))
        ask.start()
        time.sleep(0.5)  # its upload is under way
        assert server.stop() == ExitCode.DONE
        ask.join()
        assert late == [200]


def _slowly(address: str) -> int:
    """Return the status of an upload that takes two seconds to come."""
    boundary = "b"

    def body() -> "list[bytes]":
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        return [head.encode(), png()[:40], png()[40:], f"\r\n--{boundary}--\r\n".encode()]

    def parts() -> "object":
        for part in body():
            yield part
            time.sleep(0.5)

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return httpx.post(f"{address}api/predict", content=parts(), headers=headers, timeout=60).status_code  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_several_workers_count_together_and_end_together(number: int, trained: Workspace) -> None:
    with running_server(trained.root, "--workers", "2") as server:
        assert len(server.workers()) == 2
        for _ in range(12):
            httpx.post(f"{server.address}api/predict", files={"files": ("a.png", png())}, timeout=60)
        for _ in range(4):
            text = httpx.get(f"{server.address}metrics", timeout=60).text
            assert 'medimg_requests_total{route="/api/predict",status="200"} 12\n' in text
            assert "medimg_workers_ready 2\n" in text
        assert server.stop(number) == ExitCode.DONE
    with pytest.raises(httpx.HTTPError):
        httpx.get(server.address, timeout=5)
