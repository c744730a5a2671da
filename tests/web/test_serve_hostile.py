"""Hundreds of hostile uploads: every one gets an answer, no other request feels it, and nothing reaches the disk."""

import contextlib
import os
import random
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from medimg_cli.web.serving.worker_config import Limits
from medimg_cli.workspace.workspace import Workspace
from tests.web.hostile import hostile_uploads
from tests.web.server_process import ServerProcess, running_server
from tests.web.serving import Served, png, serve_for_tests

_FAST, _ALL = 90, 500
_SOURCES = ("/api/view", "/api/heatmap")


@pytest.fixture
def served() -> Served:
    return serve_for_tests(Limits(pixels=4_000_000, requests_per_minute=0))


def test_hostile_uploads_get_an_answer_and_harm_nobody(served: Served) -> None:
    for number, (name, data) in enumerate(hostile_uploads(_FAST)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = served.predict((name, data), ("good.png", png()))
        assert answer.status_code in (200, 413, 415), (name, answer.text)
        if answer.status_code == 200:
            entries = answer.json()["predictions"]
            assert entries[-1]["status"] == "ok", name
            assert all(entry["error"] != "internal" for entry in entries), name
        if number % 3 == 0:
            path = _SOURCES[number % 2]
            shown = served.client.post(path, files={"file": (name, data)})
            assert shown.status_code in (200, 400, 409, 413, 415, 422), (name, shown.text)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 400, f"a bomb of 600 MB went off: {name} took {grown:.0f} MB"
    assert served.api.load.bytes == served.api.load.requests == 0


@pytest.fixture(scope="module")
def server(
    trained: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Path]]:
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        patch.chdir(scratch)
        with running_server(trained.root, "--requests-per-minute", "0") as running:
            yield running, scratch


@pytest.mark.slow
@pytest.mark.parametrize("lossless", [False, True], ids=["every format", "and lossless JPEG"])
def test_five_hundred_hostile_uploads_to_a_real_server(
    lossless: bool, server: tuple[ServerProcess, Path]
) -> None:
    running, scratch = server
    codes: dict[int, int] = {}
    with httpx.Client(base_url=running.address, timeout=60) as client:
        workers = running.workers()
        for number, (name, data) in enumerate(hostile_uploads(_ALL, seed=7, lossless=lossless)):
            path = ("/api/predict", "/api/predict", "/api/view", "/api/heatmap")[number % 4]
            field = "files" if path == "/api/predict" else "file"
            answer = client.post(path, files={field: (name, data)})
            codes[answer.status_code] = codes.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, (name, answer.text)
        assert running.workers() == workers, "a worker ended"
        assert client.post("/api/predict", files={"files": ("a.png", png())}).status_code == 200
    assert sum(codes.values()) == _ALL
    assert list(scratch.rglob("*")) == []
    assert not any("error" in line.lower() for line in running.said), running.said


@pytest.mark.slow
def test_raw_bytes_that_are_no_http_are_answered_or_cut_off(server: tuple[ServerProcess, Path]) -> None:
    running, _ = server
    generator = random.Random(3)
    port = int(running.address.rstrip("/").rpartition(":")[2])
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            start = generator.choice(
                [b"GET / HTTP/1.1\r\n", b"POST /api/predict HTTP/1.1\r\nHost: x\r\n", b""]
            )
            with contextlib.suppress(OSError):
                connection.sendall(start + generator.randbytes(generator.randint(1, 400)) + b"\r\n\r\n")
                connection.settimeout(0.2)
                connection.recv(1000)
    running.wait_for(seconds=20)


@pytest.mark.slow
def test_requests_made_up_from_the_description_are_answered_as_it_says(
    server: tuple[ServerProcess, Path], tmp_path: Path
) -> None:
    """What is sent is random, so that images are seldom among it: whether they are accepted is not asked here."""
    program = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if program is None:
        pytest.skip("schemathesis is not installed; it may lie in an environment of its own: SCHEMATHESIS")
    running, _ = server
    command = [program, "run", f"{running.address}openapi.json", "--checks", "all", "--seed", "1"]
    command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection", "--no-shrink"]
    command += ["--phases", "examples,coverage,fuzzing", "-n", "50"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stdout
    assert not [line for line in running.said if "rror" in line or "arning" in line], running.said
