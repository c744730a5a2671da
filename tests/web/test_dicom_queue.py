"""The queue of a DICOM node: nothing acknowledged is lost, whatever step a process ends at."""

import json
import os
import shutil
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from medimg_cli.web.dicom.queue import NoRoomError, Queue, key_of, read_only

PEER = "aaaaaaaaaaaa"


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Return an empty queue without a reserve."""
    return Queue(tmp_path / "queue", 0)


def answer(
    queue: Queue, *keys: str, unread: str = "", peers: tuple[str, ...] = (PEER,)
) -> list[tuple[str, Path]]:
    """Answer objects by two results."""
    made = queue.folder_for_results()
    for number in range(2):
        (made / f"{number}.dcm").write_bytes(b"result %d" % number)
    sources = dict.fromkeys(keys, "") | ({unread: "no image"} if unread else {})
    return queue.answered(keys[0], sources, made, peers)


def files(queue: Queue) -> list[str]:
    """Return what is in the queue's folders, without the hashes."""
    return sorted(path.parent.name for path in queue.folder.rglob("*") if path.is_file())


def test_an_object_is_on_the_disk_before_it_is_acknowledged(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().parent.name}")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    queue.put("1.2.3", [b"ab", memoryview(b"cd")])
    assert steps == ["sync making", "rename", "sync queue"]
    assert queue.object(key_of("1.2.3")).read_bytes() == b"abcd"


def test_no_name_in_the_folder_tells_the_uid_of_an_object(queue: Queue) -> None:
    queue.put("1.2.840.4711", [b"a"])
    assert not [path for path in queue.folder.rglob("*") if "4711" in path.name]
    assert queue.folder.stat().st_mode & 0o077 == 0


def test_the_same_object_is_kept_once_until_it_is_delivered(queue: Queue) -> None:
    key = queue.put("1.2.3", [b"a"])
    assert key is not None
    assert queue.put("1.2.3", [b"a"]) is None
    results = answer(queue, key)
    assert queue.put("1.2.3", [b"a"]) is None
    for _, path in results:
        queue.delivered(path)
    assert files(queue) == []
    assert queue.put("1.2.3", [b"a"]) == key


def test_an_object_that_two_associations_send_at_once_is_kept_once(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage

    def meanwhile(folder: Path) -> object:
        monkeypatch.setattr(shutil, "disk_usage", usage)
        assert queue.put("1.2.3", [b"a"]) is not None
        return usage(folder)

    monkeypatch.setattr(shutil, "disk_usage", meanwhile)
    assert queue.put("1.2.3", [b"a"]) is None
    assert files(queue) == ["incoming"]


def test_room_in_reserve_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(tmp_path / "queue", 1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(5000, 3995, 1005))
    assert queue.put("1.2.3", [b"12345"])
    with pytest.raises(NoRoomError):
        queue.put("1.2.4", [b"123456"])


def test_a_disk_that_fills_while_an_object_is_written_keeps_nothing_of_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoomError):
        queue.put("1.2.3", [b"a"])
    monkeypatch.undo()
    assert files(queue) == []
    assert queue.put("1.2.3", [b"a"]) is not None


def test_results_wait_for_each_peer_alone(queue: Queue) -> None:
    key = queue.put("1.2.3", [b"a"])
    assert key is not None
    results = answer(queue, key, peers=(PEER, "bbbbbbbbbbbb"))
    assert [peer for peer, _ in results] == [PEER, PEER, "bbbbbbbbbbbb", "bbbbbbbbbbbb"]
    assert [path.read_bytes() for _, path in results] == [b"result 0", b"result 1"] * 2
    for _, path in results[:2]:
        queue.delivered(path)
    assert list(Queue(queue.folder, 0).to_deliver()) == results[2:]
    for _, path in results[2:]:
        queue.delivered(path)
    assert files(queue) == []


CRASHES: dict[str, tuple[Callable[[Queue, pytest.MonkeyPatch], None], list[str]]] = {}
"""Step after which the process ends → how it is made to, and what the next one finds."""


def crash(name: str, found: list[str]) -> Callable[[Callable[[Queue, pytest.MonkeyPatch], None]], None]:
    """Register a step."""

    def register(step: Callable[[Queue, pytest.MonkeyPatch], None]) -> None:
        CRASHES[name] = (step, found)

    return register


class Killed(BaseException):
    """What stands for SIGKILL."""


def killed_in(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(where, name, die)


@crash("while an object is written", [])
def _written(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_in(monkeypatch, Path, "replace")
    queue.put("1.2.3", [b"a"])


@crash("before the answer is taken over", ["incoming"])
def _answered(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    key = str(queue.put("1.2.3", [b"a"]))
    killed_in(monkeypatch, Path, "replace")
    answer(queue, key)


@crash("between taking the answer over and letting the object go", ["outgoing"] * 3)
def _taken_over(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    key = str(queue.put("1.2.3", [b"a"]))
    killed_in(monkeypatch, Queue, "_drop")
    answer(queue, key)


@crash(
    "between an answer and the note on an image of its exam that could not be read",
    ["dead"] * 2 + ["outgoing"] * 3,
)
def _noted(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = str(queue.put("1.2.3", [b"a"])), str(queue.put("1.2.4", [b"b"]))
    killed_in(monkeypatch, Queue, "_drop")
    answer(queue, key, unread=other)


@crash("between the last delivery and letting the answer go", [])
def _delivered(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    results = answer(queue, str(queue.put("1.2.3", [b"a"])))
    killed_in(monkeypatch, Queue, "_drop_if_delivered")
    for _, path in results:
        try:
            queue.delivered(path)
        except Killed:
            continue
    raise Killed


@crash("while a delivered answer is let go", [])
def _let_go(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    results = answer(queue, str(queue.put("1.2.3", [b"a"])))
    killed_in(monkeypatch, os, "rmdir")
    for _, path in results:
        queue.delivered(path)


@pytest.mark.parametrize("step", CRASHES)
def test_a_process_that_is_killed_leaves_a_queue_the_next_one_goes_on_with(
    step: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    die, found = CRASHES[step]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die(queue, patch)
    left = Queue(queue.folder, 0)
    kept = [folder for folder in files(left) if folder in ("incoming", "dead")]
    kept += ["outgoing" for path in left.outgoing.rglob("*") if path.is_file()]
    assert sorted(kept) == found
    assert left.sizes()["undelivered"] == int("outgoing" in found)
    assert (left.put("1.2.3", [b"a"]) is None) == bool(found)


def test_what_cannot_be_answered_goes_out_of_the_way_with_its_reason_and_may_come_again(queue: Queue) -> None:
    key = queue.put("1.2.3", [b"a"])
    assert key is not None
    queue.bury(queue.object(key), "no image")
    assert (queue.dead / f"{key}.dcm").read_bytes() == b"a"
    note = json.loads((queue.dead / f"{key}.json").read_text(encoding="utf-8"))
    assert note["reason"] == "no image"
    assert queue.sizes() == {"waiting": 0, "undelivered": 0, "dead": 1}
    assert queue.put("1.2.3", [b"a"]) == key


def test_a_result_that_cannot_be_delivered_goes_out_of_the_way_and_the_others_stay(queue: Queue) -> None:
    results = answer(queue, str(queue.put("1.2.3", [b"a"])))
    queue.bury(results[0][1], "refused")
    assert read_only(queue.folder)[:2] == (0, 1)
    assert [note["reason"] for note in read_only(queue.folder)[2].values()] == ["refused"]
    queue.delivered(results[1][1])
    assert files(queue) == ["dead", "dead"]


def test_a_queue_at_work_can_be_read_by_another_process_at_any_moment(queue: Queue) -> None:
    is_done, faults = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not is_done.is_set():
                read_only(queue.folder)
        except BaseException as error:
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(100):
        key = str(queue.put(f"1.2.{number}", [b"a"]))
        if number % 2:
            queue.bury(queue.object(key), "no image")
        else:
            for _, result in answer(queue, key):
                queue.delivered(result)
    is_done.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert (read_only(queue.folder)[:2], len(read_only(queue.folder)[2])) == ((0, 0), 50)
