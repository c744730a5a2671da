"""What `medimg serve` bears: at its capacity, and at three times of it.

    python -m tests.benchmarks.bench_serve WORKSPACE FOLDER [--seconds 120] [--workers 1] [--times 3]

Serves the newest run of a workspace and sends it images of a folder over loopback, one a request. Capacity: eight
connections that each ask again as soon as they have an answer. Overload: requests arrive evenly, three times as many a
second as were answered before, whatever becomes of them. Prints one JSON object: answers a second, p50 and p99 of the
answered ones and of the refused ones, codes, and the memory of the workers in the first and the last quarter. The
client takes its part of the same cores. Exits with 1 where a code is neither 200 nor 503, a connection breaks, or
memory grows by more than a fifth.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from medimg_cli.web.serving.prometheus import resident_bytes
from tests.web.server_process import ServerProcess, running_server

_CONNECTIONS = 8
_MOST_CONNECTIONS = 300
_WARM_SECONDS = 3.0
_IDLE_SECONDS = 5.0  # the server keeps them twice as long
_GROWTH = 1.2


@dataclass
class Tally:
    """What became of the requests of one phase.

    Args:
        codes: by status, "broken" for a connection that ended without an answer.
        seconds: by status, of each.
        memory_mb: of the workers, once a second.
    """

    codes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory_mb: list[float] = field(default_factory=list)

    def add(self, code: str, seconds: float) -> None:
        self.codes[code] += 1
        self.seconds.setdefault(code, []).append(seconds)

    def told(self, seconds: float) -> dict[str, object]:
        """Return the figures of a phase that took `seconds`."""
        figures: dict[str, object] = {"answered_per_second": round(self.codes["200"] / seconds, 1)}
        for code, name in (("200", "answered"), ("503", "refused")):
            if times := self.seconds.get(code):
                p50, p99 = np.percentile(times, (50, 99)) * 1000
                figures |= {f"{name}_p50_ms": round(p50, 1), f"{name}_p99_ms": round(p99, 1)}
        quarter = max(1, len(self.memory_mb) // 4)
        first, last = (np.median(part) for part in (self.memory_mb[:quarter], self.memory_mb[-quarter:]))
        return figures | {
            "codes": dict(self.codes),
            "memory_mb": {
                "first": round(float(first)),
                "last": round(float(last)),
                "peak": round(max(self.memory_mb)),
            },
        }

    @property
    def flat(self) -> bool:
        """Return whether memory stayed as it was."""
        quarter = max(1, len(self.memory_mb) // 4)
        return bool(np.median(self.memory_mb[-quarter:]) <= _GROWTH * np.median(self.memory_mb[:quarter]))


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Sends prepared requests over connections that stay open; nothing but sockets, to leave the cores to the server."""

    def __init__(self, address: str, images: list[bytes]) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._requests = [_request(f"{self._host}:{self._port}", image) for image in images]
        self._free: list[tuple[float, Connection]] = []
        self._generator = random.Random(0)
        self.open = 0

    async def ask(self, tally: Tally) -> None:
        """Send one image and note what comes back."""
        began = time.perf_counter()
        code = "broken"
        try:
            connection = self._kept() or await self._connected()
            code, close = await _exchange(*connection, self._generator.choice(self._requests))
            if close:
                connection[1].close()
                self.open -= 1
            else:
                self._free.append((time.perf_counter(), connection))
        except (OSError, asyncio.IncompleteReadError):
            self.open -= 1
        tally.add(code, time.perf_counter() - began)

    def _kept(self) -> Connection | None:
        """Return the connection used last; ones the server is about to close as idle are closed."""
        if not self._free:
            return None
        used, connection = self._free.pop()
        if time.perf_counter() - used < _IDLE_SECONDS:
            return connection
        for _, idle in [*self._free, (used, connection)]:
            idle[1].close()
            self.open -= 1
        self._free.clear()
        return None

    async def _connected(self) -> Connection:
        self.open += 1
        return await asyncio.open_connection(self._host, self._port)


def _request(host: str, image: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body = head + image + b"\r\n--b--\r\n"
    lines = [
        "POST /api/predict HTTP/1.1",
        f"Host: {host}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[str, bool]:
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    await reader.readexactly(length)
    return head.split(" ", 2)[1], "connection: close" in head


async def at_capacity(client: Client, tally: Tally, seconds: float) -> None:
    """Keep eight requests under way."""
    until = time.perf_counter() + seconds

    async def again() -> None:
        while time.perf_counter() < until:
            await client.ask(tally)

    await asyncio.gather(*(again() for _ in range(_CONNECTIONS)))


async def beyond(client: Client, tally: Tally, seconds: float, per_second: float) -> None:
    """Send requests evenly, however many are under way; without a connection left, one is not sent and counted."""
    began = time.perf_counter()
    sent = 0
    tasks: set[asyncio.Task[None]] = set()
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * per_second:
            sent += 1
            if len(tasks) >= _MOST_CONNECTIONS:
                tally.codes["not sent"] += 1
                continue
            task = asyncio.create_task(client.ask(tally))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)


async def watch(server: ServerProcess, tally: Tally) -> None:
    """Note the memory of the workers once a second."""
    while True:
        tally.memory_mb.append(sum(map(resident_bytes, server.workers())) / 1e6)
        await asyncio.sleep(1)


async def measure(
    server: ServerProcess, images: list[bytes], seconds: float, times: float
) -> dict[str, Tally]:
    """Return the tallies of both phases."""
    client = Client(server.address, images)
    await at_capacity(client, Tally(), _WARM_SECONDS)
    phases = {"capacity": Tally(), "overload": Tally()}
    for name, tally in phases.items():
        watcher = asyncio.create_task(watch(server, tally))
        if name == "capacity":
            await at_capacity(client, tally, seconds)
        else:
            per_second = times * phases["capacity"].codes["200"] / seconds
            await beyond(client, tally, seconds, per_second)
        watcher.cancel()
    return phases


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--times", type=float, default=3)
    given = parser.parse_args()
    files = sorted(
        path for path in given.folder.rglob("*") if path.suffix in (".png", ".jpeg", ".jpg", ".dcm")
    )
    images = [path.read_bytes() for path in files[:: max(1, len(files) // 50)]]
    options = ["--requests-per-minute", "0", "--workers", str(given.workers)]
    with running_server(given.workspace, *options) as server:
        phases = asyncio.run(measure(server, images, given.seconds, given.times))
    told = {name: tally.told(given.seconds) for name, tally in phases.items()}
    mean_kb = round(sum(map(len, images)) / len(images) / 1000)
    print(json.dumps({"images": len(images), "mean_kb": mean_kb, **told}, indent=2))  # noqa: T201
    unwanted = {code for tally in phases.values() for code in tally.codes} - {"200", "503", "not sent"}
    sys.exit(1 if unwanted or not all(tally.flat for tally in phases.values()) else 0)


if __name__ == "__main__":
    main()
