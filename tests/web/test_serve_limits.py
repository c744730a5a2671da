"""Limits hold while an upload arrives; what is under way is bounded, and nothing of it reaches the disk."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from medimg_cli.web.serving import middleware as doorway
from medimg_cli.web.serving.worker_config import MB, Limits
from tests.web.serving import PORT, SLOW, Served, dicom, encoded, png, serve_for_tests

BOUNDARY = b"boundary"
HEAD = (
    b'--boundary\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n"
)
Chunks = Callable[[], Iterator[bytes]]


def exchange(
    served: Served, chunks: Iterator[bytes], *, pause: float = 0.0, **headers: str
) -> tuple[int, dict[str, str], int]:
    """Post a body piece by piece; return status, headers of the answer, and how many bytes were taken."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        await asyncio.sleep(pause)
        chunk = next(chunks, None)
        if chunk is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": f"127.0.0.1:{PORT}", "content-type": "multipart/form-data; boundary=boundary"}
    named |= {"transfer-encoding": "chunked"} | {n.replace("_", "-"): value for n, value in headers.items()}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/predict",
        "raw_path": b"/api/predict",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", PORT),
        "client": ("127.0.0.1", 40000),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    asyncio.run(served.app(scope, receive, send))
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, taken


def endless(head: bytes = HEAD) -> Iterator[bytes]:
    yield head
    while True:
        yield b"\x89PNG\r\n\x1a\n" + b"x" * 65_528


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "_DRAIN_BYTES", 3_000_000)


def test_a_client_that_never_stops_is_stopped() -> None:
    served = serve_for_tests(Limits(file_bytes=MB, request_bytes=2 * MB, requests_per_minute=0))
    status, headers, taken = exchange(served, endless())
    assert (status, headers["connection"]) == (413, "close")
    assert taken < 5 * MB
    assert served.api.load.bytes == served.api.load.requests == 0


def test_a_file_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    served = serve_for_tests(Limits(request_bytes=2 * MB, requests_per_minute=0))
    status, headers, taken = exchange(served, endless(), content_length="999999999", expect="100-continue")
    assert (status, headers["connection"], taken) == (413, "close", 0)


@pytest.mark.parametrize(
    "head",
    [
        b"--boundary\r\nContent-Disposition: form-data; name=" + b"x" * 100_000,
        b"--boundary\r\n" + b"X-Header: y\r\n" * 10_000,
        b'--boundary\r\nContent-Disposition: form-data; name="lang"\r\n\r\n',
        b"not the boundary at all",
        b"",
    ],
    ids=["long header", "many headers", "long field", "no boundary", "nothing"],
)
def test_forms_that_never_come_to_the_point_are_refused(head: bytes) -> None:
    status, _, _ = exchange(serve_for_tests(), endless(head))
    assert status in (400, 413)


def test_parts_without_end_are_refused() -> None:
    def parts() -> Iterator[bytes]:
        while True:
            yield HEAD + b"x\r\n"

    status, _, taken = exchange(serve_for_tests(), parts())
    assert status == 413
    assert taken < 4 * MB


def test_a_slow_upload_is_given_up() -> None:
    served = serve_for_tests(Limits(upload_seconds=0.2, requests_per_minute=0))
    status, _, taken = exchange(served, endless(), pause=0.05)
    assert status == 408
    assert taken < MB * 3
    assert served.api.load.requests == 0


def test_a_form_that_breaks_off_is_refused() -> None:
    status, _, _ = exchange(serve_for_tests(), iter([HEAD, png()]))
    assert status == 400


def test_more_than_there_is_room_for_is_refused_at_once_and_the_rest_is_answered() -> None:
    served = serve_for_tests(Limits(requests_under_way=3, requests_per_minute=0))

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=served.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
            asked = [
                client.post("/api/predict", files={"files": ("a.png", png(SLOW))}, timeout=20)
                for _ in range(8)
            ]
            answers = await asyncio.gather(*asked)
            return [*answers, await client.get("/readyz")]

    *answers, ready = asyncio.run(crowd())
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 3 + [503] * 5
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["error"] == "busy"
    assert int(refused.headers["retry-after"]) >= 1
    assert ready.status_code == 200


def test_all_uploads_together_are_bounded() -> None:
    served = serve_for_tests(Limits(file_bytes=MB, bytes_under_way=MB, requests_per_minute=0))
    served.api.load.bytes = MB - 10  # of others
    assert served.code("/api/predict", ("a.png", png(side=64))) == (503, "busy")
    assert served.client.get("/readyz").status_code == 503
    served.api.load.bytes = 0
    assert served.predict(("a.png", png(side=64))).status_code == 200
    assert served.api.load.bytes == 0


def test_what_takes_too_long_is_given_up() -> None:
    served = serve_for_tests(Limits(answer_seconds=0.05, requests_per_minute=0))
    assert served.code("/api/predict", ("a.png", png(SLOW))) == (503, "busy")
    assert served.api.load.requests == 0


@pytest.fixture
def writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record every file that is opened for writing or made anywhere, while the test runs."""
    seen: list[str] = []
    watching = True
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event == "open" and isinstance(arguments[2], int):
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and str(path) != os.devnull:
                seen.append(f"open {path}")
        elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "shutil.copyfile"):
            seen.append(event)

    sys.addaudithook(hook)  # there is no way to take one away; it only looks while `watching`
    yield seen
    watching = False


def test_nothing_of_an_upload_reaches_the_disk(tmp_path: Path, writes: list[str]) -> None:
    served = serve_for_tests()
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500), np.uint8)
    large = encoded(noise, "BMP")
    assert len(large) > 2_000_000  # FastAPI's own forms write what is larger than 1 MB
    tiff = encoded(noise, "TIFF", compression="tiff_lzw")
    uploads = [("Doe_Jane.bmp", large), ("b.tif", tiff), ("c.dcm", dicom()), ("d.png", b"none")]
    assert served.predict(*uploads).status_code == 200
    for path in ("/api/view", "/api/heatmap"):
        assert served.client.post(path, files={"file": uploads[0]}).status_code == 200
    assert served.client.post("/api/result.pdf", files=[("files", one) for one in uploads]).status_code == 200
    assert writes == []
    assert list(tmp_path.iterdir()) == []


def test_the_watch_over_the_disk_would_see_a_write(tmp_path: Path, writes: list[str]) -> None:
    (tmp_path / "x").write_bytes(b"")
    assert writes == [f"open {tmp_path / 'x'}"]
