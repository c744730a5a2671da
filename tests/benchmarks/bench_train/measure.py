"""Run one command and tell what it cost: wall and CPU time until its model was trained, and peak memory.

Linux only: it reads `/proc`.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLES_A_SECOND = 20
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Proportional set size costs the kernel milliseconds a process: it is read when memory grew, or this long after.
_SECONDS_BETWEEN_PSS = 1.0
_GROWTH = 1.01
# Every tool is measured at its own default number of threads, whatever this shell asks for.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMP_SPINCOUNT")


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Args:
        wall_seconds, cpu_seconds: until the marker appeared, or to the end without one; CPU time is user and
            system time of the process and all its descendants.
        peak_bytes: of the whole process tree, pages shared between its processes counted once (PSS), sampled 20
            times a second.
        code: exit status.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    code: int


class _Tree:
    """A running process and all its descendants."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.peak_bytes = 0
        self._measured_rss = 0
        self._measured_at = 0.0

    def cpu_seconds(self) -> float:
        """Return user and system time of the living, and of those of their children that were waited for."""
        return sum(_ticks(pid) for pid in self._pids()) / _TICKS_A_SECOND

    def sample_memory(self) -> None:
        pids = self._pids()
        rss = sum(_rss_bytes(pid) for pid in pids)
        now = time.monotonic()
        if rss > self._measured_rss * _GROWTH or now - self._measured_at > _SECONDS_BETWEEN_PSS:
            self._measured_rss, self._measured_at = rss, now
            self.peak_bytes = max(self.peak_bytes, sum(_pss_bytes(pid) for pid in pids))

    def _pids(self) -> list[int]:
        found, waiting = [], [self.root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += _children(pid)
        return found


def run(
    command: Sequence[str], *, log: Path, marker: Path | None = None, environment: Mapping[str, str] = {}
) -> Cost:
    """Run `command` to its end.

    Args:
        log: what it says is added here.
        marker: a file the command makes when its model is trained; the clock stops there. What comes after costs
            neither time nor memory.
        environment: variables over those of this process, of which those that set a number of threads go.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _THREAD_VARIABLES}
    if marker is not None:
        marker.unlink(missing_ok=True)
    with log.open("ab") as output:
        began, began_on_disk = time.perf_counter(), time.time()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**inherited, **environment}, start_new_session=True
        )
        tree, is_trained, cpu = _Tree(process.pid), False, 0.0
        while not _has_ended(process):
            if not is_trained:
                tree.sample_memory()
                is_trained = marker is not None and marker.exists()
                cpu = tree.cpu_seconds()
            time.sleep(1 / _SAMPLES_A_SECOND)
        wall = time.perf_counter() - began
        # Children that nobody waited for count in the last sample only.
        cpu = cpu if is_trained else max(cpu, _ticks(process.pid) / _TICKS_A_SECOND)
        process.wait()
    if marker is not None and marker.exists():
        # The marker's own time: a sample is up to 50 ms late.
        wall = marker.stat().st_mtime - began_on_disk
    return Cost(wall, cpu, tree.peak_bytes, process.returncode)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Look without waiting for it: once waited for, its times are gone from `/proc`."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in listing.read_text().split()]
        except OSError:  # the thread has ended meanwhile
            continue
    return found


def _ticks(pid: int) -> int:
    """Return utime + stime + cutime + cstime of proc_pid_stat(5), 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces; field 3 comes first
    return sum(int(value) for value in fields[11:15])


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _pss_bytes(pid: int) -> int:
    """Return the proportional set size, or the resident one where the kernel does not tell it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _rss_bytes(pid)
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
