"""Files inside .zip, .tar and .tar.gz archives, read in memory: nothing is ever unpacked to disk.

A member's name is only a name: `../../etc/passwd` or `/a.png` is looked up in the archive and nowhere else.
"""

import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medimg_cli.errors import DataError
from medimg_cli.images.gzip_access import GzipAccess, PlainAccess, ReadAt
from medimg_cli.images.image import HEAD_BYTES, UnreadableImage, sniff_format

LIMIT_MEMBERS = 2_000_000
LIMIT_MEMBER_BYTES = 1 << 30
LIMIT_RATIO = 200
"""A member that grows by more than this when it is unpacked is refused as a bomb, if it is large at all."""
HARMLESS_BYTES = 50 << 20

_KEPT_ARCHIVES = 4
_LITTER = frozenset(["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"])
_BLOCK_BYTES = 512
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


def list_members(path: Path) -> list[str]:
    """Return the names of the files in an archive, in its order, without folders and what systems leave behind.

    A .tar.gz is unpacked once, in passing, to find them. Members that cannot be read (encrypted, links, too
    large) are listed: `read_member` says why.

    Raises:
        DataError: it is no archive, is damaged, or has more than `LIMIT_MEMBERS` members.
    """
    try:
        names = _OPEN.get(path).names
    except UnreadableImage as error:
        raise DataError(f"{path}: {error}", "name a .zip, .tar or .tar.gz of images") from error
    except _DAMAGES as error:
        raise DataError(
            f"{path} cannot be read as an archive: {_one_line(error)}", "copy or download it again"
        ) from error
    return [name for name in names if not is_litter(name)]


def has_member(path: Path, name: str) -> bool:
    """Return whether the archive holds a file called `name`; raises as `read_member` does."""
    with _plain_reasons():
        return name in _OPEN.get(path)


def read_member(path: Path, name: str) -> bytes:
    """Return the bytes of one file of an archive. Safe in threads, which share one directory of the archive.

    A .zip or .tar is read at the member's place. A .tar.gz has no places: it is unpacked once for an index with
    points to go on from, and a member then costs a few MiB of unpacking before its own.

    Raises:
        UnreadableImage: there is none such, it is encrypted, a link, too large or a bomb, or it is damaged.
    """
    with _plain_reasons():
        archive = _OPEN.get(path)
        if name not in archive:
            raise UnreadableImage("the archive has no such file")
        return archive.read(name)


def is_litter(name: str) -> bool:
    """Return whether a member or file is hidden or what systems leave behind (`.DS_Store`, `__MACOSX/…`, `Thumbs.db`)."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part.lower() in _LITTER for part in parts)


@contextmanager
def _plain_reasons() -> Iterator[None]:
    """Turn what the archive libraries raise into `UnreadableImage`."""
    try:
        yield
    except _DAMAGES as error:
        raise UnreadableImage(f"the archive cannot be read: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Zip:
    """A .zip archive. `ZipFile` locks its stream by itself, so threads unpack side by side."""

    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        _refuse_many(len(self._file.filelist))
        files = (info.filename for info in self._file.filelist if not info.is_dir())
        self.names = tuple(dict.fromkeys(files))

    def __contains__(self, name: str) -> bool:
        info = self._file.NameToInfo.get(name)
        return info is not None and not info.is_dir()

    def read(self, name: str) -> bytes:
        info = self._file.getinfo(name)
        if info.flag_bits & 1:  # APPNOTE 4.4.4
            raise UnreadableImage("encrypted in its archive; unpack it with the password")
        _refuse_large(info.file_size)
        refuse_bomb(info.file_size, info.compress_size)
        with self._file.open(info) as stream:
            return stream.read()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member of a .tar stands; `reason` is why it cannot be read, "" when it can."""

    offset: int
    size: int
    reason: str = ""


class _Tar:
    """A .tar or .tar.gz archive by an index of its members; the last of several of one name counts."""

    def __init__(self, access: ReadAt) -> None:
        self._access = access
        self._places: dict[str, _Place] = {}
        # Names that are not UTF-8 come out readable and distinct, and the index goes by the same spelling.
        with tarfile.open(fileobj=access.stream(), mode="r:", errors="backslashreplace") as tar:
            while (info := tar.next()) is not None:
                if not info.isdir():
                    self._places[info.name] = _place_of(info)
                    _refuse_many(len(self._places))
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all; typeshed leaves it out
            self._refuse_rest(tar.offset)
        self.names = tuple(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def read(self, name: str) -> bytes:
        place = self._places[name]
        if place.reason:
            raise UnreadableImage(place.reason)
        _refuse_large(place.size)
        content = self._access.read_at(place.offset, place.size)
        if len(content) < place.size:
            raise UnreadableImage("the archive is truncated")
        return content

    def _refuse_rest(self, offset: int) -> None:
        """`tarfile` takes a damaged header for the end: what follows the last member must be empty or zero."""
        if any(self._access.read_at(offset, _BLOCK_BYTES)):
            raise tarfile.ReadError("damaged after its first members")


def _place_of(info: tarfile.TarInfo) -> _Place:
    if info.issym() or info.islnk():
        return _Place(0, 0, "a link in its archive, no file")
    if not info.isreg() or info.issparse():
        return _Place(0, 0, "not an ordinary file in its archive")
    return _Place(info.offset_data, info.size)


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


class _OpenArchives:
    """The archives last used, as they are on disk now; each is indexed once for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._archives: OrderedDict[tuple[str, int, int], _Archive] = OrderedDict()

    def get(self, path: Path) -> _Archive:
        status = path.stat()
        key = (str(path.absolute()), status.st_mtime_ns, status.st_size)
        with self._lock:  # held while indexing: the other threads want the same archive
            if key not in self._archives:
                self._archives[key] = _open(path)
            self._archives.move_to_end(key)
            while len(self._archives) > _KEPT_ARCHIVES:
                # Only let go of: a thread may be reading it, and the last one to do so closes it.
                self._archives.popitem(last=False)
            return self._archives[key]


_OPEN = _OpenArchives()


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
