"""A web server on the loopback that answers as told: honestly, in pieces, wrongly, or not at all."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

from medimg_cli.sample_data.fetch import Fetched, fetch
from medimg_cli.sample_data.http_download import FetchRules, RemoteFile

LOOPBACK = "127.0.0.1"
BODY = bytes(range(256)) * 64
RULES = FetchRules(timeout_seconds=0.3, attempts=3, wait_seconds=0.0, plain_http_hosts=frozenset({LOOPBACK}))


class Asked(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    server: "OddServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        answer(self)

    def log_message(self, *_: object) -> None:
        """Say nothing among the tests' own lines."""

    @property
    def start(self) -> int:
        """Return the offset the client asks for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


Answering = Callable[[Asked], None]


class OddServer(ThreadingHTTPServer):
    """Serves `body` by the answers in turn; the last answer is given for ever.

    Args:
        body: what an honest answer would hold.
    """

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__((LOOPBACK, 0), Asked)
        self.body = body
        self.answers: list[Answering] = [honest]
        self.ranges: list[str | None] = []
        self.over = threading.Event()

    def server_bind(self) -> None:
        """Take a port, and do not ask the name service for this machine's name as HTTPServer does."""
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/sets/tiny.npz?download=1"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the plan."""


@contextmanager
def serving(body: bytes) -> Iterator[OddServer]:
    """Yield a running server; it ends with the block."""
    with OddServer(body) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def honest(asked: Asked) -> None:
    """Answer ranges as RFC 9110 says."""
    body, start = asked.server.body, asked.start
    if start >= len(body):
        asked.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
    elif start:
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        asked.head(206, Content_Range=span, Content_Length=len(body) - start)
        asked.wfile.write(body[start:])
    else:
        whole(asked)


def whole(asked: Asked) -> None:
    """Send everything, whatever range was asked for."""
    asked.head(200, Content_Length=len(asked.server.body))
    asked.wfile.write(asked.server.body)


def breaking_after(count: int) -> Answering:
    """Promise the rest and hang up after `count` bytes of it."""

    def answer(asked: Asked) -> None:
        body, start = asked.server.body, asked.start
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        asked.head(206 if start else 200, Content_Range=span, Content_Length=len(body) - start)
        asked.wfile.write(body[start : start + count])

    return answer


def declaring(difference: int) -> Answering:
    """Send everything and declare a length that is wrong by `difference`."""

    def answer(asked: Asked) -> None:
        asked.head(200, Content_Length=len(asked.server.body) + difference)
        asked.wfile.write(asked.server.body)

    return answer


def without_length(count: int | None = None) -> Answering:
    """Send the first `count` bytes (None: all) with no length at all; the end is the end of the connection."""

    def answer(asked: Asked) -> None:
        asked.head(200)
        asked.wfile.write(asked.server.body[:count])

    return answer


def in_chunks(body: bytes, *, ends: bool = True) -> Answering:
    """Send `body` in HTTP chunks; `ends=False` leaves the last chunk out."""

    def answer(asked: Asked) -> None:
        asked.head(200, Transfer_Encoding="chunked")
        asked.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if ends else b""))

    return answer


def other(body: bytes, *, kind: str = "application/octet-stream") -> Answering:
    """Send another file, whole."""

    def answer(asked: Asked) -> None:
        asked.head(200, Content_Type=kind, Content_Length=len(body))
        asked.wfile.write(body)

    return answer


def wrong_rest(asked: Asked) -> None:
    """Send the range that was asked for, with other bytes in it."""
    body, start = asked.server.body, asked.start
    span = f"bytes {start}-{len(body) - 1}/{len(body)}"
    asked.head(206, Content_Range=span, Content_Length=len(body) - start)
    asked.wfile.write(b"?" * (len(body) - start))


def refusing(status: int, **headers: object) -> Answering:
    """Answer with a status and no content."""

    def answer(asked: Asked) -> None:
        asked.head(status, Content_Length=0, **headers)

    return answer


def silent(asked: Asked) -> None:
    """Promise everything, send half, and say nothing more until the test is over."""
    body = asked.server.body
    asked.head(200, Content_Length=len(body))
    asked.wfile.write(body[: len(body) // 2])
    asked.server.over.wait(20)


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def get(server: OddServer, target: Path, *answers: Answering, rules: FetchRules = RULES) -> Fetched:
    server.answers = list(answers)
    return fetch(RemoteFile(server.address, md5(BODY)), target, rules=rules)


def names_in(folder: Path) -> list[str]:
    """Return what a user sees in a folder; the hidden lock file is not meant for people."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".tiny.npz.lock")
