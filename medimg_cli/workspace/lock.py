"""One writer at a time: a lock on a file that the system lets go of when its holder ends, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medimg_cli.errors import MachineError
from medimg_cli.workspace.files import disk_errors
from medimg_cli.workspace.workspace import Workspace

if sys.platform == "win32":
    import msvcrt

    _BEHIND_ALL = 1 << 30
    """Windows locks bytes, and nobody else can read them then: one is taken that no file here has."""

    def _lock(descriptor: int, *, shared: bool = False) -> None:  # noqa: ARG001 -- there is no shared one
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _BEHIND_ALL, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, *, doing: str) -> Iterator[None]:
    """Hold the lock file `path`, which holds the process number of its holder; it stays when let go of.

    Args:
        doing: what another process that holds the lock is doing, for the message.

    Raises:
        MachineError: somebody else holds it, or the folder cannot be written.
    """
    with disk_errors(path, "choose a folder that can be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened to append: the number of whoever holds the lock must not be overwritten before it is ours.
        stream = path.open("a+", encoding="ascii")
    with stream:
        try:
            _lock(stream.fileno())
        except OSError as error:
            holder = path.read_text(encoding="ascii").strip()
            named = f" (process {holder})" if holder else ""
            raise MachineError(
                f"another medimg{named} is {doing}", "wait until it is done, then run the same command again"
            ) from error
        with suppress(OSError):  # a full disk: the number only serves the message
            os.ftruncate(stream.fileno(), 0)
            os.write(stream.fileno(), f"{os.getpid()}\n".encode("ascii"))
        yield


def claim(descriptor: int, *, doing: str) -> None:
    """Keep other processes from claiming an open file until it is closed; arguments and errors as of `locked`."""
    try:
        _lock(descriptor)
    except OSError as error:
        raise MachineError(
            f"another medimg is {doing}", "wait until it is done, or name another file"
        ) from error


def is_held(path: Path) -> bool:
    """Return whether another process holds the lock file `path`.

    Looked at with a shared lock that is let go of at once: whoever looks takes nothing from its holder.
    """
    try:
        with path.open("rb") as stream:
            _lock(stream.fileno(), shared=True)
    except FileNotFoundError:
        return False
    except OSError:  # held, or a file that this user may not open
        return True
    return False


@contextmanager
def dataset_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's data set for writing; folders made for the lock go again when nothing was written.

    Raises:
        MachineError: another process holds it, or the workspace cannot be written.
    """
    folder = workspace.manifest_path.parent
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = folder / ".lock"
    try:
        with locked(lock, doing=f"writing the data set in {folder}"):
            yield
    finally:
        with suppress(OSError):
            if made and [item.name for item in folder.iterdir()] == [lock.name]:
                lock.unlink()
            for place in made:  # innermost first; one that holds something stays
                place.rmdir()
