"""The beginning of a file that is being fetched: on disk beside the file, with its origin and running checksum."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import read_json, write_json

_CHUNK_BYTES = 1 << 20


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
    digest = _new_digest(algorithm)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
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
            while chunk := stream.read(_CHUNK_BYTES):
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
