"""Files inside .zip, .tar and .tar.gz archives, read in memory: nothing is ever unpacked to disk.

A member's name is only a name: `../../etc/passwd` or `/a.png` is looked up in the archive and nowhere else. It is listed
as unpackers would write it: `./a/b.png`, `/a//b.png` and, in a .zip or where no name has a slash, `a\\b.png` are `a/b.png`. A plain or
gzip-compressed file is read at any place, from any thread.
"""

import io
import re
import tarfile
import threading
import weakref
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

from medimg_cli.errors import DataError
from medimg_cli.images.decoding import RecentFiles
from medimg_cli.images.image import HEAD_BYTES, UnreadableImage, sniff_format
from medimg_cli.workspace.plain_text import reason_of

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
                    if self._started:
                        raise EOFError("the file is truncated")
                    return b""
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


LIMIT_MEMBERS = 2_000_000
LIMIT_MEMBER_BYTES = 1 << 30
LIMIT_RATIO = 200
"""A member that grows by more than this when it is unpacked is refused as a bomb, if it is large at all."""
HARMLESS_BYTES = 50 << 20

_LITTER = frozenset(["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"])
# Not "._a.png", which macOS puts beside each file on foreign disks.
_HIDDEN_PICTURE = re.compile(
    r"\.[^._].*\.(?:jpe?g|png|tiff?|bmp|gif|webp|dcm|dicom|nii|nii\.gz)", re.IGNORECASE
)
_BLOCK_BYTES = 512
_BACKSLASH = r"\\(?!x[0-9a-f]{2})"  # `\xe9` is a byte that is no UTF-8
_DAMAGES = (
    OSError,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


class _Archive(Protocol):
    """What an open archive can do, from any thread."""

    names: tuple[str, ...]

    def read(self, name: str) -> bytes: ...

    def __contains__(self, name: str) -> bool: ...


def list_members(path: Path, wanted: Callable[[str], bool] = lambda name: not is_litter(name)) -> list[str]:
    """Return the plain names of the files in an archive, in its order, without folders and what systems leave behind.

    A .tar.gz is unpacked once, in passing, to find them. Members that cannot be read (encrypted, links, too
    large) are listed: `read_member` says why.

    Raises:
        DataError: it is no archive, is damaged, or has more than `LIMIT_MEMBERS` members.
    """
    try:
        names = _OPEN.get(path, lambda: _open(path)).names
    except UnreadableImage as error:
        raise DataError(f"{path}: {error}", "name a .zip, .tar or .tar.gz of images") from error
    except _DAMAGES as error:
        raise DataError(
            f"{path} cannot be read as an archive: {_fault(error)}", "copy or download it again"
        ) from error
    return list(filter(wanted, names))


def has_member(path: Path, name: str) -> bool:
    """Return whether the archive holds a file called `name`; raises as `read_member` does."""
    with _plain_reasons():
        return name in _OPEN.get(path, lambda: _open(path))


def read_member(path: Path, name: str) -> bytes:
    """Return the bytes of one file of an archive. Safe in threads, which share one directory of the archive.

    A .zip or .tar is read at the member's place. A .tar.gz has no places: it is unpacked once for an index with
    points to go on from, and a member then costs a few MiB of unpacking before its own.

    Raises:
        UnreadableImage: there is none such, it is encrypted, a link, too large or a bomb, or it is damaged.
    """
    with _plain_reasons():
        archive = _OPEN.get(path, lambda: _open(path))
        if name not in archive:
            raise UnreadableImage("the archive has no such file")
        return archive.read(name)


def is_litter(name: str) -> bool:
    """Return whether a member or file is hidden or what systems leave behind (`.DS_Store`, `__MACOSX/…`, `Thumbs.db`)."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part.lower() in _LITTER for part in parts)


def is_hidden_picture(name: str) -> bool:
    """Return whether a member or file is called as a picture but for a dot before its name, in no hidden folder."""
    folder, _, file = name.rpartition("/")
    return bool(_HIDDEN_PICTURE.fullmatch(file)) and not is_litter(folder)


@contextmanager
def _plain_reasons() -> Iterator[None]:
    """Turn what the archive libraries raise into `UnreadableImage`."""
    try:
        yield
    except _DAMAGES as error:
        raise UnreadableImage(f"the archive cannot be read: {_fault(error)}") from error


def _fault(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return reason_of(error)


class _Zip:
    """A .zip archive. `ZipFile` locks its stream by itself, so threads unpack side by side."""

    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        _refuse_many(len(self._file.filelist))
        files = (info.filename for info in self._file.filelist if not info.is_dir())
        self._written = _plain_names(
            files, separators=r"[/\\]"
        )  # APPNOTE 4.4.17.1 wants "/", not every packer writes it
        self.names = tuple(self._written)

    def __contains__(self, name: str) -> bool:
        info = self._file.NameToInfo.get(self._written.get(name, name))
        return info is not None and not info.is_dir()

    def read(self, name: str) -> bytes:
        info = self._file.getinfo(self._written.get(name, name))
        if info.flag_bits & 1:  # APPNOTE 4.4.4
            raise UnreadableImage("encrypted in its archive; unpack it with the password")
        _refuse_large(info.file_size)
        refuse_bomb(info.file_size, info.compress_size)
        with self._file.open(info) as stream:
            return stream.read()


class _Tar:
    """A .tar or .tar.gz archive by an index of its members; the last of several of one name counts."""

    def __init__(self, access: ReadAt) -> None:
        self._access = access
        # Where each member stands: offset, bytes, and why it cannot be read, "" when it can.
        self._places: dict[str, tuple[int, int, str]] = {}
        # Names that are not UTF-8 come out readable and distinct, and the index goes by the same spelling.
        with tarfile.open(fileobj=access.stream(), mode="r:", errors="backslashreplace") as tar:
            while (info := tar.next()) is not None:
                if not info.isdir():
                    reason = (
                        "" if info.isreg() and not info.issparse() else "not an ordinary file in its archive"
                    )
                    reason = "a link in its archive, no file" if info.issym() or info.islnk() else reason
                    self._places[info.name] = (info.offset_data, info.size, reason)
                    _refuse_many(len(self._places))
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all; typeshed leaves it out
            # `tarfile` takes a damaged header for the end: what follows the last member must be empty or zero.
            if any(access.read_at(tar.offset, _BLOCK_BYTES)):
                raise tarfile.ReadError("damaged after its first members")
        self._written = _plain_names(self._places)
        self.names = tuple(self._written)

    def __contains__(self, name: str) -> bool:
        return self._written.get(name, name) in self._places

    def read(self, name: str) -> bytes:
        offset, size, reason = self._places[self._written.get(name, name)]
        if reason:
            raise UnreadableImage(reason)
        _refuse_large(size)
        content = self._access.read_at(offset, size)
        if len(content) < size:
            raise UnreadableImage("the archive is truncated")
        return content


def _plain_names(written: Iterable[str], separators: str = "[/]") -> dict[str, str]:
    """Return what each member is listed as, and its name in the archive; one whose place is taken is numbered."""
    names, found = dict.fromkeys(written), dict[str, str]()
    if not any("/" in name for name in names):  # a .tar made on Windows
        separators = _BACKSLASH
    for name in names:
        parts = [part for part in re.split(separators, name) if part not in ("", ".", "..")]
        if separators != "[/]" and len(parts) > 1 and re.fullmatch("[A-Za-z]:", parts[0]):
            del parts[0]
        plain = listed = "/".join(parts) or "unnamed"
        stem, dot, suffix = plain.rpartition(".")
        for number in count(2):
            if listed == name or not (listed in names or listed in found):
                break
            listed = f"{stem} ({number}).{suffix}" if dot and "/" not in suffix else f"{plain} ({number})"
        found[listed] = name
    return found


def _refuse_many(members: int) -> None:
    if members > LIMIT_MEMBERS:
        raise tarfile.TarError(f"more than {LIMIT_MEMBERS:,} members")


def _refuse_large(size_bytes: int) -> None:
    if size_bytes > LIMIT_MEMBER_BYTES:
        raise UnreadableImage(
            f"{size_bytes:,} bytes in its archive, more than the limit of {LIMIT_MEMBER_BYTES:,}"
        )


def refuse_bomb(unpacked_bytes: int, packed_bytes: int) -> None:
    """Refuse what grows `LIMIT_RATIO`-fold and beyond `HARMLESS_BYTES`.

    Raises:
        UnreadableImage: it does.
    """
    if unpacked_bytes > HARMLESS_BYTES and unpacked_bytes > LIMIT_RATIO * max(1, packed_bytes):
        raise UnreadableImage(
            f"a decompression bomb: {packed_bytes:,} bytes unpack to {unpacked_bytes:,} or more"
        )


_OPEN = RecentFiles[_Archive](4)


def _open(path: Path) -> _Archive:
    with path.open("rb") as stream:
        found = sniff_format(stream.read(HEAD_BYTES))
    if found in ("zip", "npz"):
        return _Zip(path)
    if found == "tar":
        return _Tar(PlainAccess(path))
    if found == "gzip":
        return _Tar(GzipAccess(path, watch=refuse_bomb))
    raise UnreadableImage("not an archive (.zip, .tar, .tar.gz)")
