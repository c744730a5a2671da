"""Which place this process has in a training of several: what torchrun or Slurm put into the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from medimg_cli.errors import UsageError
from medimg_cli.workspace.threads import usable_cores

# Slurm numbers its jobs from 1; ports below 1024 are the system's, those above 32768 are handed out at random.
_PORTS = range(15000, 32000)


@dataclass(frozen=True)
class Process:
    """One process's place.

    Args:
        rank: 0 … size - 1; 0 leads.
        size: processes in all, on all machines.
        local_rank: its number on this machine, which is also the number of its GPU.
        local_size: processes on this machine.
        address, port: where the processes meet; the first of them listens there.
        cores: processor cores that are this process's own, None when not stated.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = ""
    port: int = 0
    cores: int | None = None

    def threads(self) -> int:
        """Return how many threads this process may run, so that all of a machine together fill its cores once.

        Alone it takes no more than `OMP_NUM_THREADS` grants (OpenMP 5.2, 21.1.2), which torchrun sets to 1 unasked: threads
        that outnumber the cores wait for each other by spinning, and two trainings side by side take several times as long.
        """
        usable = usable_cores()
        granted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        if self.size == 1 and granted.isascii() and granted.isdecimal() and int(granted):
            return min(usable, int(granted))
        return min(usable, self.cores) if self.cores else max(1, usable // self.local_size)


def process_of(environment: Mapping[str, str]) -> Process:
    """Return the process that `environment` gives: torchrun's variables, else those of an `srun` step, else alone.

    A batch script of Slurm has a rank too, but no step: what runs there without `srun` is alone.

    Raises:
        UsageError: the variables contradict each other or are no numbers.
    """
    try:
        if int(environment.get("WORLD_SIZE", 1)) > 1:
            process = _torchrun(environment)
        elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            process = _slurm(environment)
        else:
            return Process()
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"this looks like one process of several, but the environment is not whole: {error}",
            "start it with torchrun or srun, or unset WORLD_SIZE and RANK",
        ) from error
    if not 0 <= process.rank < process.size:
        raise UsageError(
            f"rank {process.rank} of {process.size} processes does not exist", "count ranks from 0"
        )
    return process


def _torchrun(environment: Mapping[str, str]) -> Process:
    return Process(
        rank=int(environment["RANK"]),
        size=int(environment["WORLD_SIZE"]),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", 1)),
        address=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        cores=_cores(environment),
    )


def _slurm(environment: Mapping[str, str]) -> Process:
    """Read what `srun` gives each of its tasks; all of them agree on address and port without talking."""
    rank, local_rank = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "localhost")
    job, step = int(environment.get("SLURM_JOB_ID", 0)), int(environment.get("SLURM_STEP_ID", 0))
    return Process(
        rank=rank,
        size=int(environment["SLURM_STEP_NUM_TASKS"]),
        local_rank=local_rank,
        local_size=_tasks_here(environment),
        address=environment.get("MASTER_ADDR") or first_host(nodes),
        port=int(environment.get("MASTER_PORT", _PORTS[(job * 7 + step) % len(_PORTS)])),
        cores=_cores(environment),
    )


def _cores(environment: Mapping[str, str]) -> int | None:
    given = environment.get("SLURM_CPUS_PER_TASK")
    return int(given) if given else None


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Return this machine's number of tasks from Slurm's list for all machines, such as `4(x2),3`."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        counts += [int(tasks)] * int(times or 1)
    return counts[min(int(environment.get("SLURM_NODEID", 0)), len(counts) - 1)]


def first_host(nodes: str) -> str:
    """Return the first name of Slurm's list of machines.

    >>> first_host("gpu[03-05,9],login"), first_host("a-1,a-2"), first_host("r[1-2]n[7-8]")
    ('gpu03', 'a-1', 'r1n7')
    """
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first is not None  # the pattern matches the empty text
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first.group())
