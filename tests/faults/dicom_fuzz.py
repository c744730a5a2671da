"""Mutated associations and objects against a DICOM node: does it hang, crash or grow?

    python -m tests.faults.dicom_fuzz WORKSPACE [--sessions 6000] [--objects 6000] [--first 0]

The workspace holds a run of 32-pixel images, as tests/conftest.py trains one. A session is all that a sender writes, from
A-ASSOCIATE-RQ to A-RELEASE-RQ, mutated anywhere; an object is a mutated data set in a sound C-STORE. Four clients at once.
At the end the node has to answer a sound image, with no more threads and files than before; memory of the node and of the
process that answers is measured in the second and in the last quarter.
"""

import argparse
import json
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.dimse_primitives import C_STORE

from medimg_cli.web.dicom.peers import answers_alone
from medimg_cli.web.serving.prometheus import resident_bytes
from tests.faults.dicom_kills import ServedNode, left_in
from tests.faults.fuzz import mutated
from tests.web.dicom_peer import encoded, image, listening_peer, send

_CLIENTS, _SECONDS, _GROWTH = 4, 2.0, 1.15


def recorded(port: int, images: Sequence[Dataset]) -> bytes:
    """Return all that a sender of images writes to a node."""
    written: list[bytes] = []
    send(port, images, evt_handlers=[(evt.EVT_DATA_SENT, lambda event: written.append(event.data))])
    return b"".join(written)


def session(port: int, content: bytes, chance: random.Random, seconds: float = _SECONDS) -> str:
    """Send a session, and return how the node ended it; where it waits for more, that is said after so many seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(content)
            if chance.random() < 0.2:
                return "left"
            if chance.random() < 0.8:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
        except TimeoutError:
            return "open"  # it waits for more, as it may
        except OSError:
            return "reset"
    return "closed"


def store(port: int, contents: Sequence[bytes], number: int) -> Counter[str]:
    """Store encoded data sets under sound commands, and return the statuses."""
    sample, found = image(), Counter[str]()
    entity = AE("FUZZ")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    syntax = str(sample.file_meta.TransferSyntaxUID)
    entity.requested_contexts = [build_context(str(sample.SOPClassUID), syntax)]
    association = entity.associate("127.0.0.1", port, ae_title="MEDIMG")
    answers_alone(association)
    for place, content in enumerate(contents):
        if not association.is_established:
            found["ended"] += 1
            continue
        request: Any = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID = sample.SOPClassUID
        request.AffectedSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + place}"
        request.DataSet = BytesIO(content)
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.0005)
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id or 1)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        found[f"0x{answer.Status:04X}" if answer is not None else "none"] += 1
    if association.is_established:
        association.release()
    return found


def object_of(number: int, chance: random.Random) -> bytes:
    """Return a mutated data set that says the UID it is sent under, unless that is what was mutated."""
    sample = image(number % 50, SOPInstanceUID=f"1.2.826.0.1.3680043.8.498.{number}")
    whole = encoded(sample)
    start = whole.index(b"\x08\x00\x16\x00")
    return mutated(whole[start:], [whole], chance)


class _Watch:
    """Memory, threads and open files of the node and its processes, at intervals."""

    def __init__(self, process: int) -> None:
        self._process = process
        self.seen: list[tuple[int, int, int, int]] = []

    def look(self) -> None:
        proc = Path("/proc")
        own = proc / str(self._process)
        children = [int(pid) for pid in (own / f"task/{self._process}/children").read_text().split()]
        workers = [pid for pid in children if b"spawn_main" in (proc / str(pid) / "cmdline").read_bytes()]
        threads, files = (sum(1 for _ in os.scandir(own / name)) for name in ("task", "fd"))
        memory = resident_bytes(self._process), sum(map(resident_bytes, workers))
        self.seen.append((*memory, threads, files))

    def figures(self) -> dict[str, object]:
        """Return the medians of the second and the last quarter."""
        quarter = max(1, len(self.seen) // 4)
        early, late = self.seen[quarter : 2 * quarter], self.seen[-quarter:]
        names = ("node MB", "worker MB", "threads", "files")
        found: dict[str, object] = {}
        for place, name in enumerate(names):
            pair = [sorted(row[place] for row in rows)[len(rows) // 2] for rows in (early, late)]
            found[name] = [round(value / 1e6, 1) if "MB" in name else value for value in pair]
        return found


def run(workspace: Path, sessions: int, objects: int, offset: int) -> tuple[dict[str, object], bool]:
    """Return the figures, and whether nothing hung, crashed or grew."""
    ends, statuses, lock = Counter[str](), Counter[str](), threading.Lock()
    wide = ("--set", "serve.dicom_associations=12")
    with listening_peer() as peer, ServedNode(workspace, peer.port, options=wide) as node:
        assert node.process is not None
        whole = recorded(node.port, [image(1), image(2)])
        watch, done = _Watch(node.process.pid), threading.Event()

        def watching() -> None:
            while not done.wait(1.0):
                watch.look()

        def client(first: int) -> None:
            for number in range(first, sessions, _CLIENTS):
                chance = random.Random(offset + number)
                end = session(node.port, mutated(whole, [whole], chance), chance)
                with lock:
                    ends[end] += 1
            for number in range(first * 10, objects, _CLIENTS * 10):
                chance, start = random.Random(offset + number), offset + number
                contents = [object_of(start + place, chance) for place in range(10)]
                found = store(node.port, contents, start)
                with lock:
                    statuses.update(found)

        threads = [threading.Thread(target=client, args=(first,)) for first in range(_CLIENTS)]
        threads.append(threading.Thread(target=watching))
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads[:-1]:
            thread.join()
        until = time.monotonic() + 600
        waits = workspace / "dicom-queue"
        while _waits(waits):
            assert time.monotonic() < until, left_in(workspace)[:5]
            time.sleep(0.5)
        done.set()
        threads[-1].join()
        before = len(peer.got)
        alive = node.process.poll() is None and send(node.port, [image(77_001)]) == [0]
        while alive and len(peer.got) < before + 2 and time.monotonic() < until:
            time.sleep(0.1)
        answered = len(peer.got) >= before + 2
        figures = watch.figures()
        figures |= {"sessions": dict(ends), "objects": dict(statuses), "results": len(peer.held)}
        figures |= {"dead": len(list(waits.glob("dead/*.json"))), "answers afterwards": answered}
        figures |= {"tracebacks": sum("Traceback" in line for line in node.said)}
        figures |= {"faults said": [line for line in node.said if line.startswith("error:")][:5]}
        figures |= {"seconds": round(time.monotonic() - began), "SIGTERM, s": round(node.stop(), 1)}
    pairs: list[Any] = [figures["node MB"], figures["worker MB"]]
    flat = all(late <= early * _GROWTH + 20 for early, late in pairs)
    return figures, answered and flat and not figures["tracebacks"]


def _waits(queue: Path) -> bool:
    return any(any((queue / name).iterdir()) for name in ("incoming", "outgoing"))


def main() -> None:
    """Run it and print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--sessions", type=int, default=6000)
    parser.add_argument("--objects", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0, help="number of the first session and object")
    given = parser.parse_args()
    figures, sound = run(given.workspace, given.sessions, given.objects, given.first)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(not sound)


if __name__ == "__main__":
    main()
