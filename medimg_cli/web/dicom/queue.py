"""What a DICOM node has acknowledged and not yet delivered: files in a folder, on the disk before anybody is told so.

    incoming/KEY.dcm           objects that wait for their answer
    outgoing/KEY/PEER.N.dcm    results, a file for each peer that still lacks one; sources.json names what they answer
    dead/…dcm, dead/…json      what cannot be answered or delivered, with the reason
    making/                    unfinished files; emptied at the start

A key is a hash, so no name in the folder tells of a patient. Nothing else is kept: a process that is killed goes on
with what the folders hold.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medimg_cli.errors import MachineError
from medimg_cli.workspace.files import disk_errors, sha256_of_text, synced
from medimg_cli.workspace.provenance import now

_SOURCES = "sources.json"
_FOLDERS = ("incoming", "outgoing", "dead", "making")


def key_of(uid: str) -> str:
    """Return what an object or an exam is called in the queue: 32 hex digits of its UID's SHA-256."""
    return sha256_of_text(uid)[:32]


class NoRoomError(Exception):
    """Raised where the disk has not the room that is kept in reserve."""


class Queue:
    """The folder; every method may be called in threads, and one process at a time uses it.

    Args:
        folder: made, for its owner alone, where it does not exist.
        reserve_bytes: that the disk must have free beside an object that is taken.

    Raises:
        MachineError: it cannot be written.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self.folder, self._reserve = folder, reserve_bytes
        self.incoming, self.outgoing, self.dead, self._making = (folder / name for name in _FOLDERS)
        with disk_errors(folder, "choose another folder: serve.dicom_queue"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(self._making, ignore_errors=True)
            for name in _FOLDERS:
                (folder / name).mkdir(mode=0o700, exist_ok=True)
            synced(folder)
        self._lock = threading.Lock()
        self._count = 0
        self._held: set[str] = set()
        self._recover()

    def _recover(self) -> None:
        """Finish what a killed process left between two steps."""
        for folder in self.outgoing.iterdir():
            with suppress(OSError):  # one that holds something
                folder.rmdir()
        for folder in self._answers():
            sources = json.loads((folder / _SOURCES).read_text(encoding="ascii"))
            self._drop(sources)
            self._held.update(sources)
            self._drop_if_delivered(folder)
        self._held.update(self.waiting())

    def put(self, uid: str, parts: Sequence[bytes | memoryview]) -> str | None:
        """Keep an object; return its key once it is on the disk, or None where it is in the queue already.

        Raises:
            NoRoomError: the disk is full, or would be but for the reserve.
        """
        key = key_of(uid)
        if key in self._held:
            return None
        unfinished = self._new()
        try:
            if shutil.disk_usage(self.folder).free < self._reserve + sum(map(len, parts)):
                raise NoRoomError
            with unfinished.open("wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(stream.fileno())
            with self._lock:
                if key in self._held:  # the same object came over another association meanwhile
                    return None
                unfinished.replace(self.incoming / f"{key}.dcm")
                synced(self.incoming)
                self._held.add(key)
        except OSError as error:
            raise NoRoomError from error
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        return key

    def waiting(self) -> list[str]:
        """Return the keys of the objects without an answer, the oldest first."""
        return [
            path.stem for path in sorted(self.incoming.glob("*.dcm"), key=lambda path: path.stat().st_mtime)
        ]

    def object(self, key: str) -> Path:
        """Return the file of an object."""
        return self.incoming / f"{key}.dcm"

    def sizes(self) -> dict[str, int]:
        """Return how many objects wait, answers are not delivered everywhere, and files were put out of the way."""
        waiting, results, notes = (
            sum(1 for _ in folder.glob(pattern))
            for folder, pattern in ((self.incoming, "*.dcm"), (self.outgoing, "*"), (self.dead, "*.json"))
        )
        return {"waiting": waiting, "undelivered": results, "dead": notes}

    def folder_for_results(self) -> Path:
        """Return a new folder in which results may be written."""
        folder = self._new()
        folder.mkdir(mode=0o700)
        return folder

    def answered(
        self, key: str, sources: Mapping[str, str], made: Path, peers: Sequence[str]
    ) -> list[tuple[str, Path]]:
        """Take results over and let the objects go; return (id of a peer, file) of what is to be delivered.

        Args:
            key: of the object or exam.
            sources: key of each object → why it could not be read, "" where it was answered.
            made: folder of `folder_for_results`, with the results in it, and nothing else.
            peers: ids of those that shall have them.

        Raises:
            OSError: the disk is full; the objects stay.
        """
        for number, result in enumerate(sorted(made.iterdir())):
            for peer in peers[1:]:
                synced(Path(shutil.copyfile(result, made / f"{peer}.{number}.dcm")))
            synced(result.replace(made / f"{peers[0]}.{number}.dcm"))
        (made / _SOURCES).write_text(json.dumps(sources), encoding="ascii")
        synced(made / _SOURCES)
        synced(made)
        target = self.outgoing / key
        made.replace(target)
        synced(self.outgoing)
        self._drop(
            sources
        )  # before anything is delivered: a process that is killed here answers nothing twice
        return _files_of(target)

    def to_deliver(self) -> Iterator[tuple[str, Path]]:
        """Yield (id of a peer, result that it lacks), the oldest answers first."""
        for folder in sorted(self._answers(), key=lambda folder: folder.stat().st_mtime):
            yield from _files_of(folder)

    def delivered(self, path: Path) -> None:
        """Let a result go that its peer has."""
        path.unlink(missing_ok=True)
        with self._lock:
            self._drop_if_delivered(path.parent)

    def bury(self, path: Path, reason: str, **more: str) -> None:
        """Move an object that cannot be answered, or a result that cannot be delivered, out of the way with its reason."""
        name = path.stem if path.parent == self.incoming else f"{path.parent.name}.{path.stem}"
        self._move_to_the_dead(path, name, {"reason": reason, **more})
        with self._lock:
            if path.parent == self.incoming:
                self._held.discard(path.stem)
            else:
                self._drop_if_delivered(path.parent)

    def drop(self, key: str) -> None:
        """Let an object go that needs no answer."""
        self._drop({key: ""})
        self._held.discard(key)

    def _answers(self) -> list[Path]:
        return [folder for folder in self.outgoing.iterdir() if (folder / _SOURCES).is_file()]

    def _drop(self, sources: Mapping[str, str]) -> None:
        for key, reason in sources.items():
            if reason and self.object(key).is_file():
                self._move_to_the_dead(self.object(key), key, {"reason": reason})
            self.object(key).unlink(missing_ok=True)
        synced(self.incoming)

    def _move_to_the_dead(self, path: Path, name: str, note: Mapping[str, str]) -> None:
        unfinished = self._new()
        unfinished.write_text(
            json.dumps({"time": now(), **note}, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        synced(unfinished)
        unfinished.replace(self.dead / f"{name}.json")  # whole, for those who read it meanwhile
        with suppress(FileNotFoundError):
            path.replace(self.dead / f"{name}.dcm")
        synced(self.dead)

    def _drop_if_delivered(self, folder: Path) -> None:
        if folder.is_dir() and not any(folder.glob("*.dcm")):
            self._held.difference_update(json.loads((folder / _SOURCES).read_text(encoding="ascii")))
            shutil.rmtree(folder)

    def _new(self) -> Path:
        with self._lock:
            self._count += 1
            return self._making / str(self._count)


def _files_of(folder: Path) -> list[tuple[str, Path]]:
    return [(path.name.partition(".")[0], path) for path in sorted(folder.glob("*.dcm"))]


@dataclass(frozen=True)
class Ask:
    """Answer these objects as one, or, without a folder, say which exam the only one is of.

    Args:
        objects: files, each named by its key.
        folder: where the results are to be written.
        unread: how many further objects of the exam could not be read.
    """

    objects: tuple[Path, ...]
    folder: Path | None
    unread: int = 0


@dataclass(frozen=True)
class Done:
    """What became of it.

    Args:
        exam: key of the exam.
        unread: key → why an object could not be read.
        images, refused: with an answer, and without one.
        own: the objects are results of this program, which asks for no answer.
        later: why they cannot be answered now; "" where they were.
    """

    exam: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    images: int = 0
    refused: int = 0
    own: bool = False
    later: str = ""


def read_only(folder: Path) -> tuple[int, int, dict[str, Mapping[str, str]]]:
    """Return of a queue that another process may use: objects that wait, results to deliver, and name → note of the dead.

    Raises:
        MachineError: it cannot be read.
    """
    try:
        waiting, results = (
            sum(path.suffix == ".dcm" for path in _below(folder / name)) for name in _FOLDERS[:2]
        )
        notes = [path for path in _below(folder / "dead") if path.suffix == ".json"]
        dead = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in notes}
    except (OSError, ValueError) as error:
        raise MachineError(f"the queue {folder} cannot be read: {error}", "is it of this user?") from error
    return waiting, results, dead


def _below(folder: Path) -> list[Path]:
    """Return the files; a folder that another process removes meanwhile has none."""

    def check(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    return [Path(at, name) for at, _, names in os.walk(folder, onerror=check) for name in names]
