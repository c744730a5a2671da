"""A running `medimg serve`, as a shell starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

SECONDS = 120


@dataclass
class ServerProcess:
    """A running server.

    Args:
        process: the supervisor.
        said: lines of its stderr so far.
    """

    process: subprocess.Popen[str]
    address: str = ""
    said: list[str] = field(default_factory=list)

    def workers(self) -> list[int]:
        """Return the process numbers of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return [pid for pid, line in lines.items() if b"spawn_main" in line]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=SECONDS)

    def wait_for(self, path: str = "readyz", seconds: float = SECONDS) -> None:
        """Wait until it answers."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if httpx.get(self.address + path, timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError("\n".join(self.said))

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if found := re.search(r"upload page: (http://\S+?/)", line):
                self.address = found[1]


@contextmanager
def running_server(workspace: Path, *options: str, token: str | None = None) -> Iterator[ServerProcess]:
    """Run `medimg serve` on a free port of this machine until the block ends."""
    command = [sys.executable, "-m", "medimg_cli", "serve", "--port", "0", "--json", "-C", str(workspace)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"MEDIMG_TOKEN": token} if token else {})
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    server = ServerProcess(process)
    listener = threading.Thread(target=server._listen, daemon=True)
    listener.start()
    try:
        until = time.monotonic() + SECONDS
        while not server.address and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert server.address, "\n".join(server.said)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["address"] == server.address
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=SECONDS)
        listener.join(timeout=5)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
