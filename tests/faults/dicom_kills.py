"""Does a DICOM node lose or double anything when it is killed and its peer is down?

    python -m tests.faults.dicom_kills WORKSPACE [--objects 1000] [--kills 10] [--downs 2]

The workspace holds a run of 32-pixel images, as tests/conftest.py trains one. Four associations send; whoever is not
told "success" sends again, as a PACS does. The node is killed by SIGKILL, in turn alone and with its processes, and its
peer stops listening. At the end every object has one Secondary Capture and one report at the peer, and the queue is empty.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.web.dicom_peer import Peer, image, listening_peer, send, source_of_result

PATIENCE_SECONDS = 900.0
_BATCH = 5


@dataclass
class ServedNode:
    """A `medimg serve --dicom-port` that can be killed and started again on the same port."""

    workspace: Path
    peer: int
    port: int = 0
    options: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)

    def __enter__(self) -> "ServedNode":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill(whole=True)

    def start(self) -> None:
        """Start, and wait until it takes associations."""
        command = [
            sys.executable,
            "-m",
            "medimg_cli",
            "serve",
            "-C",
            str(self.workspace),
            "--dicom-port",
            str(self.port),
        ]
        command += ["--send-to", f"dicom://PEER@127.0.0.1:{self.peer}", "--set", "serve.page=false"]
        command += [
            "--set",
            "serve.dicom_retry_seconds=4",
            "--set",
            "serve.dicom_reserve_mb=50",
            *self.options,
        ]
        began = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if found := re.search(r"DICOM: .*:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("\n".join(self.said))
        self.start_seconds.append(time.monotonic() - began)
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with process.stderr:
            self.said.extend(line.rstrip() for line in process.stderr)

    def kill(self, *, whole: bool) -> None:
        """Kill it by SIGKILL, alone or with the processes it started."""
        assert self.process is not None
        if whole:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """End it by SIGTERM and return how long that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0
        return time.monotonic() - began


@dataclass
class Outcome:
    """What came of a run; times in seconds.

    Args:
        captures, reports: results by the object that they are of.
        repeated: transmissions of a result that the peer had already.
        sent: transmissions of objects, the repeated ones among them.
    """

    captures: Counter[str] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    sent: int = 0
    left: list[str] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)
    stop_seconds: float = 0.0

    def is_sound(self, uids: set[str]) -> bool:
        """Return whether each object has exactly one result of each kind, and nothing is left."""
        once = Counter(dict.fromkeys(uids, 1))
        return self.captures == once and self.reports == once and not self.left


def run_under_kills(
    workspace: Path, *, objects: int, kills: int, downs: int, seed: int = 0
) -> tuple[Outcome, set[str]]:
    """Return what came of sending so many objects under so many faults, and the objects' UIDs."""
    chance, outcome = random.Random(seed), Outcome()
    images = [image(number) for number in range(objects)]
    acknowledged: set[str] = set()
    with listening_peer() as peer, ServedNode(workspace, peer.port) as node:

        def sender(number: int) -> None:
            todo = images[number::4]
            while todo:
                try:
                    statuses = send(node.port, todo[:_BATCH])
                except Exception:  # the node was killed in the middle: sent again
                    statuses = []
                outcome.sent += len(statuses)
                done = [each for each, status in zip(todo[:_BATCH], statuses, strict=False) if status == 0]
                acknowledged.update(str(each.SOPInstanceUID) for each in done)
                todo = [each for each in todo if str(each.SOPInstanceUID) not in acknowledged]
                if len(done) < _BATCH:
                    time.sleep(0.3)

        threads = [threading.Thread(target=sender, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        _disturb(node, peer, acknowledged, objects, kills, downs, chance)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        until = time.monotonic() + PATIENCE_SECONDS
        while (len(peer.held) < 2 * objects or left_in(workspace)) and time.monotonic() < until:
            time.sleep(0.5)
        outcome.stop_seconds, outcome.start_seconds, outcome.left = (
            node.stop(),
            node.start_seconds,
            left_in(workspace),
        )
        outcome.repeated = len(peer.got) - len(peer.held)
        for result in peer.held.values():
            kind = outcome.captures if "PixelData" in result else outcome.reports
            kind[source_of_result(result)] += 1
    return outcome, {str(each.SOPInstanceUID) for each in images}


def _disturb(
    node: ServedNode,
    peer: Peer,
    acknowledged: set[str],
    objects: int,
    kills: int,
    downs: int,
    chance: random.Random,
) -> None:
    """Kill the node and stop the peer, spread over the objects' acknowledgement and the delivery behind it."""
    faults = ["kill"] * kills + ["down"] * downs
    chance.shuffle(faults)
    for number, fault in enumerate(faults):
        share = (number + 0.5) / len(faults) * objects
        until = time.monotonic() + PATIENCE_SECONDS
        while (
            min(len(acknowledged), len(peer.held) / 1.4 + objects * 0.1) < share and time.monotonic() < until
        ):
            time.sleep(0.02)
        if fault == "down":
            peer.stop()
            time.sleep(5.0)
            peer.start()
        else:
            time.sleep(chance.uniform(0, 0.5))
            node.kill(whole=number % 2 == 0)
            node.start()


def left_in(workspace: Path) -> list[str]:
    """Return what the queue holds, the dead among it."""
    folder = workspace / "dicom-queue"
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(
        str(path.relative_to(folder)) for path in found if not path.is_relative_to(folder / "making")
    )


def main() -> None:
    """Run it and print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    for name, default in (("objects", 1000), ("kills", 10), ("downs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    began = time.monotonic()
    outcome, uids = run_under_kills(
        given.workspace, objects=given.objects, kills=given.kills, downs=given.downs
    )
    figures = {
        "objects": len(uids),
        "captures": sum(outcome.captures.values()),
        "reports": sum(outcome.reports.values()),
        "none lost, none twice, queue empty": outcome.is_sound(uids),
        "results sent again after a kill": outcome.repeated,
        "transmissions of objects": outcome.sent,
        "left in the queue": outcome.left[:10],
        "longest start, s": round(max(outcome.start_seconds), 1),
        "SIGTERM, s": round(outcome.stop_seconds, 1),
        "seconds": round(time.monotonic() - began),
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if outcome.is_sound(uids) else 1)


if __name__ == "__main__":
    main()
