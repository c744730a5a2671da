"""Reading at any place of a plain or gzip-compressed file, from any thread."""

import io
import threading
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

_CHUNK_BYTES = 1 << 16
_STEP_BYTES = 2 << 20
_LIMIT_POINTS = 1024
_GZIP = 31  # zlib's window bits: 32 KiB of history, gzip header and checksum (RFC 1952)


class ReadAt(Protocol):
    """A file that can be read at any place."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer where the file ends."""
        ...

    def stream(self) -> BinaryIO:
        """Return the file as a stream of its own."""
        ...


class PlainAccess:
    """A file as it is. Closed when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def read_at(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def stream(self) -> BinaryIO:
        return io.BufferedReader(_Stream(self), _CHUNK_BYTES)


class GzipAccess:
    """A gzip file by what it unpacks to.

    While it is unpacked the state of the unpacking is kept every few MiB (about 40 kB each, 1,024 at most; then
    every second one goes and the steps double), so that reading at a place starts at the point before it.

    Args:
        watch: called with (bytes unpacked, bytes read) as unpacking goes on; raises to refuse a bomb.
    """

    def __init__(self, path: Path, watch: Callable[[int, int], None]) -> None:
        self._source = PlainAccess(path)
        self._watch = watch
        self._lock = threading.Lock()
        self._points = [_Inflater(self._source)]
        self._step_bytes = _STEP_BYTES
        self._left: _Inflater | None = None  # where the last read ended: in order, nothing is unpacked twice

    def read_at(self, offset: int, size: int) -> bytes:
        inflater = self._nearest(offset)
        while inflater.position < offset and self._unpack(inflater, offset):
            pass
        wanted = bytearray()
        while len(wanted) < size and (piece := self._unpack(inflater, offset + size)):
            wanted += piece
        with self._lock:
            self._left = inflater
        return bytes(wanted)

    def stream(self) -> BinaryIO:
        return io.BufferedReader(_Stream(self), _CHUNK_BYTES)

    def _nearest(self, offset: int) -> "_Inflater":
        with self._lock:
            index = bisect_right(self._points, offset, key=lambda point: point.position) - 1
            point = self._points[index]
            if self._left is not None and point.position <= self._left.position <= offset:
                taken, self._left = self._left, None
                return taken
            return point.copy()

    def _unpack(self, inflater: "_Inflater", end: int) -> bytes:
        """Return the next bytes, none of them beyond `end`, and keep a point every few MiB."""
        piece = inflater.read(min(_CHUNK_BYTES, end - inflater.position))
        with self._lock:
            if inflater.position >= self._points[-1].position + self._step_bytes:
                self._watch(inflater.position, inflater.consumed)
                self._points.append(inflater.copy())
                if len(self._points) > _LIMIT_POINTS:
                    self._points = self._points[::2]
                    self._step_bytes *= 2
        return piece


class _Inflater:
    """One place in the unpacking of a gzip file.

    Attributes:
        position: bytes unpacked so far.
        consumed: bytes of the file they came from.
    """

    def __init__(self, source: PlainAccess) -> None:
        self._source = source
        self._state = zlib.decompressobj(_GZIP)
        self._started = False
        self._rest = b""
        self._fetched = 0
        self.position = 0

    @property
    def consumed(self) -> int:
        return self._fetched - len(self._rest)

    def copy(self) -> "_Inflater":
        """Return the same place, free to go on by itself; it holds no bytes of the file."""
        twin = _Inflater(self._source)
        twin._state, twin._started = self._state.copy(), self._started
        twin._fetched, twin.position = self.consumed, self.position
        return twin

    def read(self, size: int) -> bytes:
        """Return up to `size` more bytes, none at the end.

        Raises:
            EOFError: the file is truncated.
            zlib.error: it is damaged.
        """
        while True:
            if not self._rest:
                self._rest = self._source.read_at(self._fetched, _CHUNK_BYTES)
                self._fetched += len(self._rest)
                if not self._rest:
                    return self._end()
            if not self._started:
                self._rest = self._rest.lstrip(b"\0")  # padding between the members of a gzip file
                self._started = bool(self._rest)
                continue
            piece = self._state.decompress(self._rest, size)
            if self._state.eof:  # one gzip file may follow another, RFC 1952 2.2
                self._rest, self._started = self._state.unused_data, False
                self._state = zlib.decompressobj(_GZIP)
            else:
                self._rest = self._state.unconsumed_tail
            if piece:
                self.position += len(piece)
                return piece

    def _end(self) -> bytes:
        if self._started:
            raise EOFError("the file is truncated")
        return b""


class _Stream(io.RawIOBase):
    """`ReadAt` as a stream, for libraries that want one."""

    def __init__(self, access: ReadAt) -> None:
        self._access = access
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        piece = self._access.read_at(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
