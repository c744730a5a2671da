"""Ask a server for a file, or for the rest of one, and judge its answer before a byte is kept."""

import hashlib
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from medimg_cli import __version__
from medimg_cli.errors import DataError, MachineError
from medimg_cli.workspace.files import read_json, write_json

_HASH_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file in public and what it must be.

    Args:
        address: where it is.
        checksum: algorithm and lower-case hex digits, `md5:0cc1…` or `sha256:9f86…`.
    """

    address: str
    checksum: str

    @property
    def algorithm(self) -> str:
        return self.checksum.partition(":")[0]

    @property
    def name(self) -> str:
        """Return the file's own name: the last part of the address, without its query."""
        return PurePosixPath(unquote(urlsplit(self.address).path)).name


def checksum_of(path: Path, algorithm: str) -> str:
    """Return the checksum of a file's bytes as `algorithm:hex digits`.

    Raises:
        ValueError: there is no such algorithm.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: _new_digest(algorithm))
    return f"{algorithm}:{digest.hexdigest()}"


class PartialFile:
    """`<target>.part`, and `<target>.part.json` with the address and checksum it is a part of.

    Args:
        remote: what the file is to become.
        target: the name it gets when it is whole and right.

    What is there is taken over when its origin is the same, else thrown away.
    """

    def __init__(self, remote: RemoteFile, target: Path) -> None:
        self.remote, self.target = remote, target
        self.path = target.with_name(f"{target.name}.part")
        self.rejected = target.with_name(f"{target.name}.rejected")
        self._sidecar = target.with_name(f"{target.name}.part.json")
        self.pieces = 0
        self._load()

    @property
    def is_right(self) -> bool:
        return self.checksum == self.remote.checksum

    @property
    def checksum(self) -> str:
        return f"{self.remote.algorithm}:{self._digest.hexdigest()}"

    def restart(self) -> None:
        """Forget what is there."""
        self.path.unlink(missing_ok=True)
        self._sidecar.unlink(missing_ok=True)
        self._digest, self.size, self.pieces = _new_digest(self.remote.algorithm), 0, 0

    def append(self, chunks: Iterator[bytes]) -> Iterator[int]:
        """Write chunks at the end, yielding the size after each one."""
        self.pieces += 1
        if self.size == 0:  # before the part, so that no part is ever without its origin
            write_json(self._sidecar, self._origin)
        with self.path.open("ab") as stream:
            for chunk in chunks:
                stream.write(chunk)
                self._digest.update(chunk)
                self.size += len(chunk)
                yield self.size

    def settle(self) -> None:
        """Give the right file its name."""
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        if self.target.exists():
            self.target.replace(self.rejected)
        self.path.replace(self.target)
        self._sidecar.unlink(missing_ok=True)

    def reject(self) -> None:
        """Keep the wrong file under a name that says so, for whoever wants to look at it."""
        self.path.replace(self.rejected)
        self._sidecar.unlink(missing_ok=True)

    @property
    def _origin(self) -> dict[str, str]:
        return {"address": self.remote.address, "checksum": self.remote.checksum}

    def _load(self) -> None:
        self._digest, self.size = _new_digest(self.remote.algorithm), 0
        if not (self.path.is_file() and self._is_ours()):
            self.restart()
            return
        with self.path.open("rb") as stream:
            while chunk := stream.read(_HASH_CHUNK_BYTES):
                self._digest.update(chunk)
                self.size += len(chunk)
        self.pieces = 2  # nobody knows how many calls it took

    def _is_ours(self) -> bool:
        try:
            return bool(read_json(self._sidecar) == self._origin)
        except DataError:  # none, or not readable: then nobody knows what the part is a part of
            return False


def _new_digest(algorithm: str) -> "hashlib._Hash":
    return hashlib.new(algorithm, usedforsecurity=False)  # it tells a wrong file, not a forged one


_CHUNK_BYTES = 1 << 18
_LONGEST_WAIT_SECONDS = 60.0
# RFC 9110: request timeout, too many requests, and the server's passing troubles.
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416
_WEB_PAGE_STARTS = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class FetchRules:
    """How patient to be with a server, and which ones may speak without encryption.

    Args:
        timeout_seconds: how long a silent server is waited for.
        attempts: how many failures in a row, none of them with progress, end the fetch.
        wait_seconds: pause after the first failure; it doubles with each further one.
        most_bytes: a longer file is refused, so that an endless answer does not fill the disk.
        plain_http_hosts: hosts that may be asked over `http:`; all others only over `https:`.
    """

    timeout_seconds: float = 30.0
    attempts: int = 5
    wait_seconds: float = 1.0
    most_bytes: int = 64 << 30
    plain_http_hosts: frozenset[str] = frozenset()


class BrokenOffError(Exception):
    """The server failed in a way that another attempt may mend.

    Args:
        reason: one clause for people.
        wait_seconds: how long the server asks to be left alone, 0..60.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_seconds = wait_seconds


class NoConnectionError(BrokenOffError):
    """There is no way to the server: no network, no such name, nobody who listens."""


class UnusableAnswerError(Exception):
    """The server's answer is final and is not the file; the text is one clause for people."""


@dataclass
class Answer:
    """What a server sends from `start` on.

    Args:
        start: offset of the first byte, 0 where the server sends the whole file, or nothing at all.
        end: offset after the last byte as the server declares it; None when it does not say.
        at_end: True when the server says there is nothing after `start`.
        framed: True when a cut is noticed by the protocol itself (a length, or chunks).
    """

    start: int
    end: int | None
    framed: bool
    at_end: bool = False
    _response: IO[bytes] | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come.

        Raises:
            BrokenOffError: the connection fails or falls silent, or ends before the declared length.
        """
        place = self.start
        while chunk := self._read():
            place += len(chunk)
            yield chunk
        if self.end is not None and place < self.end:
            raise BrokenOffError(f"the connection ended {self.end - place} bytes early")

    def close(self) -> None:
        if self._response is not None:
            self._response.close()

    def _read(self) -> bytes:
        if self._response is None:
            return b""
        try:
            # read1: what has arrived is kept even when the rest never comes.
            chunk: bytes = self._response.read1(_CHUNK_BYTES)  # type: ignore[attr-defined]
        except (OSError, http.client.HTTPException) as error:
            raise BrokenOffError(_reason(error)) from error
        return chunk


def host_of(address: str) -> str:
    """Return the host an address names.

    >>> host_of("https://zenodo.org/records/1")
    'zenodo.org'
    """
    return urlsplit(address).hostname or address


def ask(address: str, start: int, rules: FetchRules) -> Answer:
    """Ask for the bytes of `address` from offset `start` on.

    Raises:
        BrokenOffError: worth another attempt.
        NoConnectionError: worth one if the server was there a moment ago.
        UnusableAnswerError: not worth one.
        MachineError: the address, or where it leads, is not encrypted.
    """
    _refuse_plain(address, rules)
    request = urllib.request.Request(address, headers={"User-Agent": f"medimg/{__version__}"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = _opener(rules).open(request, timeout=rules.timeout_seconds)
    except urllib.error.HTTPError as error:
        with error:
            return _of_refusal(error, start)
    except urllib.error.URLError as error:
        raise _of_no_connection(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(_reason(error)) from error
    try:
        return _of_response(response)
    except UnusableAnswerError:
        response.close()
        raise


def looks_like_web_page(first: bytes) -> bool:
    """Tell whether a file begins as an HTML page does: a login or error page in the file's place."""
    return first.lstrip()[:15].lower().startswith(_WEB_PAGE_STARTS)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to any host, but never out of encryption."""

    def __init__(self, rules: FetchRules) -> None:
        self._rules = rules

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl, self._rules)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(rules: FetchRules) -> urllib.request.OpenerDirector:
    """Return an opener of http and https alone: urllib's own also opens local files and FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(rules),
    ):
        opener.add_handler(handler)
    return opener


def _refuse_plain(address: str, rules: FetchRules) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in rules.plain_http_hosts):
        return
    raise MachineError(
        f"{parts.scheme}://{parts.hostname or ''} is not asked: only https addresses are",
        "a proxy may lead away from the right address; try another network",
    )


def _of_refusal(error: urllib.error.HTTPError, start: int) -> Answer:
    reason = f"the server answers {error.code} {error.reason}".strip()
    if error.code == _RANGE_NOT_SATISFIABLE and start:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        whole = total is not None and int(total[1]) == start
        return Answer(start, start, framed=True, at_end=True) if whole else Answer(0, 0, framed=True)
    if error.code in _PASSING_STATUS:
        asked = error.headers.get("Retry-After", "")
        wait_seconds = min(float(asked), _LONGEST_WAIT_SECONDS) if asked.isdecimal() else 0.0
        raise BrokenOffError(reason, wait_seconds)
    raise UnusableAnswerError(reason)


def _of_no_connection(error: urllib.error.URLError) -> Exception:
    cause = error.reason
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UnusableAnswerError(f"its certificate is not trusted ({cause.verify_message})")
    return NoConnectionError(_reason(cause) if isinstance(cause, Exception) else str(cause))


def _of_response(response: http.client.HTTPResponse) -> Answer:
    if response.headers.get_content_type() == "text/html":
        raise UnusableAnswerError("the server sends a web page in place of the file")
    start = 0
    if response.status == http.client.PARTIAL_CONTENT:
        found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if found is None:
            raise UnusableAnswerError("the server sends a part without saying which")
        start = int(found[1])
    # http.client keeps the declared length here, and None where there is none or it is no number.
    length = response.length
    framed = length is not None or response.chunked
    return Answer(start, None if length is None else start + length, framed, _response=response)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
