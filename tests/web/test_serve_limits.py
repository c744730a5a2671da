"""Limits hold while an upload arrives; what is under way is bounded, and nothing of it reaches the disk."""

import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from medimg_cli.web.serving import access, batching, worker
from medimg_cli.web.serving import middleware as middleware
from medimg_cli.web.serving.worker import PatientProtocol
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
    monkeypatch.setattr(middleware, "_DRAIN_BYTES", 3_000_000)
    monkeypatch.setattr(middleware, "_DRAIN_SECONDS", 0.2)


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
                client.post("/api/predict", files={"files": ("a.png", png(SLOW))}, timeout=60)
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


def upload(body: bytes = b"", *, address: str = "127.0.0.1", length: int | None = None) -> bytes:
    """Return the request of an upload that may say it is longer than it is."""
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nX-Of: {address}\r\n"
    head += "Content-Type: multipart/form-data; boundary=boundary\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


@contextmanager
def listening(served: Served) -> Iterator[int]:
    """Serve an application on a free port, by the protocol that `medimg serve` has."""
    config = uvicorn.Config(served.app, http=PatientProtocol, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(200)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        server.should_exit = server.force_exit = True
        thread.join(60)


def answered(port: int, request: bytes) -> int:
    """Return the status that a request gets."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request)
        return int(client.recv(4096).split()[1])


WHOLE = HEAD + png() + b"\r\n--boundary--\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"x" * 2000], ids=["nothing", "a head", "a little"])
def test_sixty_uploads_that_send_nothing_turn_nobody_away(sent: bytes) -> None:
    served = serve_for_tests(
        Limits(requests_under_way=4, bytes_under_way=MB, file_bytes=MB, requests_per_minute=0)
    )
    with listening(served) as port, ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            client.sendall(upload(sent, length=900_000))
        assert [answered(port, upload(WHOLE)) for _ in range(3)] == [200] * 3
        assert served.api.load.requests == 0


def test_a_client_that_opens_more_and_more_loses_its_own_idle_ones() -> None:
    served = serve_for_tests(Limits(uploads_of_client=5, requests_per_minute=0))
    with listening(served) as port, ExitStack() as stack:
        clients = []
        for _ in range(8):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            client.sendall(upload(HEAD, length=900_000))
            clients.append(client)
            time.sleep(0.02)
        assert [int(client.recv(4096).split()[1]) for client in clients[:3]] == [408] * 3
        assert answered(port, upload(WHOLE)) == 200


def test_room_that_an_idle_upload_holds_is_taken_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_IDLE_SECONDS", 0.2)
    served = serve_for_tests(Limits(file_bytes=MB, bytes_under_way=MB, requests_per_minute=0))
    with listening(served) as port, socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        idle.sendall(upload(HEAD + b"x" * (MB - 100), length=MB + 5000))
        until = time.monotonic() + 60
        while served.api.load.bytes < MB - 200 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        noise = encoded(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "PNG")
        larger = upload(HEAD + noise + b"\r\n--boundary--\r\n")
        assert answered(port, larger) == 503
        assert int(idle.recv(4096).split()[1]) == 408
        assert answered(port, larger) == 200


def test_an_upload_that_stops_on_the_way_is_given_up() -> None:
    served = serve_for_tests(Limits(idle_seconds=0.2, requests_per_minute=0))
    with listening(served) as port:
        assert answered(port, upload(HEAD, length=900_000)) == 408


def test_the_oldest_connection_without_a_request_makes_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "MOST_IDLE", 20)
    with listening(serve_for_tests()) as port, ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(60)
        ]
        assert answered(port, upload(WHOLE)) == 200
        assert idle[0].recv(10) == b""


def test_an_image_that_takes_too_long_is_said_to_and_costs_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "_LOST_SECONDS", 0.0)
    served = serve_for_tests(Limits(decode_seconds=0.3, requests_per_minute=0))
    release, calls = threading.Event(), []

    def hang(given: Any) -> int:
        calls.append(given)
        if len(given.data) == len(png(77, 40)):
            release.wait(120)
        return 1

    monkeypatch.setattr(served.engine, "frames", hang)
    hostile, good = ("a.png", png(77, 40)), ("b.png", png())
    entries = served.predict(hostile, good).json()["predictions"]
    assert [one["status"] for one in entries] == ["unreadable", "ok"]
    assert "longer than 0.3 s" in entries[0]["message"]
    assert served.code("/api/view", hostile) == (422, "unreadable")
    assert served.code("/api/heatmap", hostile) == (422, "unreadable")
    assert len(calls) == 2, "a file that hangs was given a second thread"
    assert served.api.batcher.stuck
    assert served.client.get("/readyz").status_code == 503
    release.set()


@pytest.mark.parametrize(
    "path",
    ["/", "/card", "/login", "/docs", "/openapi.json", "/static/page.css", "/healthz", "/readyz", "/metrics"],
)
def test_head_is_answered_like_get(path: str) -> None:
    client = serve_for_tests().client
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "cache-control", "content-security-policy"):
        assert head.headers[name] == whole.headers[name]
    with listening(serve_for_tests()) as port:
        request = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
            raw.sendall(request)
            said = b"".join(iter(lambda: raw.recv(65536), b""))
        assert said.endswith(b"\r\n\r\n"), "a body followed"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/predict", "OPTIONS, POST"),
        ("/login", "GET, HEAD, OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_methods_that_are_not_served_are_told_which_are(path: str, allowed: str) -> None:
    client = serve_for_tests().client
    asked = client.options(path, headers={"Origin": f"http://127.0.0.1:{PORT}"})
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allowed, b"")
    assert "access-control-allow-origin" not in asked.headers
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        refused = client.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert client.options("/nowhere").status_code == 404


def test_odd_requests_are_refused_in_words_and_never_fail() -> None:
    served = serve_for_tests()
    client = served.client
    kinds = [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "\u00fc",
        "application/json",
    ]
    for kind in kinds:
        answer = client.post("/api/predict", content=b"{}", headers={b"Content-Type": kind.encode()})
        assert answer.status_code == 400, kind
    for name in (
        "\u00fc" * 3000 + ".png",
        "\U0001f480\u202e.png",
        "a\0b.png",
        "..\\..\\x.png",
        " ",
        "\ud7ff.png",
    ):
        answer = served.predict((name, png()))
        assert answer.status_code == (200 if len(name) < 1000 else 400), name[:20]
        assert answer.status_code == 400 or len(answer.json()["predictions"][0]["path"]) <= 90
    tiny = b"".join(
        b'--boundary\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' for _ in range(5000)
    )
    headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    assert client.post("/api/predict", content=tiny + b"--boundary--\r\n", headers=headers).status_code == 413
    with listening(served) as port:
        huge = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"
        assert answered(port, huge) in (400, 431)
        chunks = (
            b"".join(b"%x\r\n%b\r\n" % (1, WHOLE[at : at + 1]) for at in range(len(WHOLE))) + b"0\r\n\r\n"
        )
        head = upload().replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        assert answered(port, head + chunks) == 200
        lengths = (b"-1", b"+5", b"1e3", b"9" * 30, b"\xc2\xb2")
        for length in lengths:
            assert answered(port, upload().replace(b"Content-Length: 0", b"Content-Length: " + length)) in (
                400,
                413,
            )
