"""How long from a C-STORE to its result at the peer.

    python -m tests.benchmarks.bench_dicom WORKSPACE [--objects 200]

The workspace holds a run of 32-pixel images, as tests/conftest.py trains one. Images go one by one, each when the results of
the one before are there; and as fast as four associations are acknowledged. The time of an object runs from before its
C-STORE until the later of its two results is at the peer. Sender and peer take their part of the same cores.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests.faults.dicom_kills import ServedNode
from tests.web.dicom_peer import Peer, image, listening_peer, send, source_of_result

_PATIENCE_SECONDS = 300.0


def until_answered(peer: Peer, count: int) -> None:
    """Wait until so many objects have both results."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while len(peer.held) < 2 * count:
        assert time.monotonic() < until, "no answer"
        time.sleep(0.002)


def seconds_of(peer: Peer, sent: dict[str, float]) -> list[float]:
    """Return how long each object took."""
    last: dict[str, float] = {}
    for uid, result in peer.held.items():
        source = source_of_result(result)
        last[source] = max(last.get(source, 0.0), peer.when[uid])
    return [last[uid] - began for uid, began in sent.items()]


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--objects", type=int, default=200)
    given = parser.parse_args()
    figures: dict[str, object] = {}
    with listening_peer() as peer, ServedNode(given.workspace, peer.port) as node:
        send(node.port, [image(99_999)])
        until_answered(peer, 1)  # the first one loads highdicom
        sent: dict[str, float] = {}

        def store(images: list[Dataset], *, wait: bool) -> None:
            for each in images:
                sent[str(each.SOPInstanceUID)] = time.monotonic()
                assert send(node.port, [each]) == [0]
                if wait:
                    until_answered(peer, 1 + len(sent))

        for name, clients in (("one by one", 1), ("four associations", 4)):
            before, began = set(sent), time.monotonic()
            images = [image(number + len(sent)) for number in range(given.objects)]
            parts = [images[number::clients] for number in range(clients)]
            work = [
                threading.Thread(target=store, args=(part,), kwargs={"wait": clients == 1}) for part in parts
            ]
            for thread in work:
                thread.start()
            for thread in work:
                thread.join()
            until_answered(peer, 1 + len(sent))
            took = time.monotonic() - began
            times = seconds_of(peer, {uid: when for uid, when in sent.items() if uid not in before})
            p50, p99 = np.percentile(times, (50, 99))
            figures[name] = {
                "p50_s": round(p50, 3),
                "p99_s": round(p99, 3),
                "objects_per_s": round(len(times) / took, 1),
            }
        figures["SIGTERM_s"] = round(node.stop(), 2)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
