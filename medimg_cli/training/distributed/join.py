"""Joining the other processes of a training, and leaving them with one voice."""

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore  # torch.distributed hands them on
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from medimg_cli.errors import ExitCode, MachineError, MedimgError, UsageError
from medimg_cli.runs.run import Run
from medimg_cli.training.distributed.all_reduce import ALONE, PeerLostError, World, inside
from medimg_cli.training.distributed.ranks import Process, process_of
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings

_MEETING = timedelta(minutes=10)
_STEP = timedelta(minutes=30)  # a process that dies is noticed at once; this is for one that hangs
_WHILE_OTHERS_PREPARE = timedelta(days=2)
_SECONDS_FOR_THE_LEADER = 3.0
_SECONDS_FOR_A_CULPRIT = 1.0
_SECONDS_TO_SPEAK = 0.5
LAUNCHED = "MEDIMG_LAUNCHED"
"""Set in the processes that `--nproc` starts: who starts them says which of them was killed."""


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the other processes of this training for the time of the block, where there are any.

    One of them says what went wrong; the others end silently with the same exit code.

    Args:
        device: "cpu" keeps a process away from the GPU that would be its own.

    Raises:
        MachineError: the others do not come, or this process finds no GPU of its own.
        UsageError: the environment is not whole.
    """
    process = process_of(os.environ)
    if process.size == 1:
        yield ALONE
        return
    world = World(process)
    before = {number: signal.signal(number, world.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    store = _meet(world, _backend(device, process))
    try:
        with inside(world):
            yield world
    except BaseException as error:
        _leave(world, store, error)
        raise
    finally:
        with suppress(RuntimeError):  # the others may be gone
            dist.destroy_process_group()
    for number, handler in before.items():
        signal.signal(number, handler)


def _meet(world: World, backend: str) -> Store:
    """Find the other processes and return the store they share.

    Raises:
        MachineError: they do not come.
    """
    held_by_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = TCPStore(
            world.process.address,
            world.process.port,
            world.size,
            world.leads and not held_by_torchrun,
            timeout=_MEETING,
        )
        dist.init_process_group(
            backend, store=PrefixStore("medimg", store), rank=world.rank, world_size=world.size, timeout=_STEP
        )
        world.patient = dist.new_group(backend="gloo", timeout=_WHILE_OTHERS_PREPARE)
    except (RuntimeError, ValueError) as error:
        raise MachineError(
            f"process {world.rank} of {world.size} does not find the others at {world.process.address}:{world.process.port}",
            "check that all were started and that the machines reach each other; MASTER_ADDR and MASTER_PORT say where",
        ) from error
    return PrefixStore("medimg-manners", store)


def _backend(device: str, process: Process) -> str:
    if device.partition(":")[0] not in ("auto", "cuda") or not torch.cuda.is_available():
        return "gloo"
    here = torch.cuda.device_count()
    if process.local_rank >= here:
        raise MachineError(
            f"process {process.local_rank + 1} of {process.local_size} on this machine finds no GPU of its own: there are {here}",
            "start as many processes as GPUs, or give --device cpu",
        )
    torch.cuda.set_device(process.local_rank)
    return "cpu:gloo,cuda:nccl"


def _leave(world: World, store: Store, error: BaseException) -> None:
    """Decide who of all says what went wrong: return where it is this process, end silently where it is not."""
    patience = 0.0 if world.leads else _SECONDS_FOR_THE_LEADER
    if world.leads and isinstance(error, PeerLostError):
        patience = _SECONDS_FOR_A_CULPRIT
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends already, and has to say why
        signal.signal(number, signal.SIG_IGN)
    until = time.monotonic() + patience
    code = _exit_code(error)
    with suppress(RuntimeError):  # the store went with the process that held it
        while not store.check(["code"]) and time.monotonic() < until:
            time.sleep(0.05)
        if store.check(["code"]):
            time.sleep(_SECONDS_TO_SPEAK)  # whoever starts us ends the others when the first one ends
            raise SystemExit(int(store.get("code"))) from error
        store.set("code", str(int(code)))
    if isinstance(error, PeerLostError) and LAUNCHED in os.environ:
        raise SystemExit(int(code)) from error


def _exit_code(error: BaseException) -> int:
    if isinstance(error, MedimgError):
        return int(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return int(ExitCode.INTERRUPTED)
    code = getattr(error, "exit_code", ExitCode.BUG)
    return int(code) if isinstance(code, int) else int(ExitCode.BUG)


_SECONDS_TO_SAVE = 600
_POLL_SECONDS = 0.2


def is_to_be_launched(processes: int | None) -> bool:
    """Return whether this process has to start others, being none of them.

    Raises:
        UsageError: it is one of another number of processes.
    """
    if processes is None:
        return False
    size = process_of(os.environ).size
    if size > 1 and LAUNCHED not in os.environ and size != processes:
        raise UsageError(
            f"--nproc {processes} inside a start of {size} processes",
            "leave --nproc out under torchrun or srun",
        )
    return size == 1 and processes > 1


def launch(processes: int) -> None:
    """Run this very command in so many processes; return when all are done.

    What they say goes where this process speaks. Ctrl-C and SIGTERM are passed on to them.

    Raises:
        MachineError: one of them was killed.
        SystemExit: one of them failed, or they were interrupted; it has printed why.
    """
    logging.disable(logging.CRITICAL)  # torchrun's own; errors are reported once, by medimg
    os.environ[LAUNCHED] = str(processes)
    # torchrun would warn and set 1; how many threads a process runs is decided in `prepare_processor`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="medimg-nproc-") as folder:
        try:
            elastic_launch(_config(processes, folder), sys.executable)("-m", "medimg_cli", *sys.argv[1:])
        except ChildFailedError as error:
            raise _ended_as(list(error.failures.values()), processes) from None
        except SignalException:
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        finally:
            del os.environ[LAUNCHED]
            logging.disable(logging.NOTSET)


def _config(processes: int, folder: str) -> LaunchConfig:
    options: dict[str, Any] = {
        "min_nodes": 1,
        "max_nodes": 1,
        "nproc_per_node": processes,
        "run_id": f"medimg-{os.getpid()}",
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "127.0.0.1:0",
        "max_restarts": 0,
        "monitor_interval": _POLL_SECONDS,
        "local_addr": "127.0.0.1",
        "shutdown_timeout": _SECONDS_TO_SAVE,
    }
    # Older torch lacks the last one, and waits 30 seconds.
    known = {field.name for field in fields(LaunchConfig)}
    os.environ.setdefault("TORCHELASTIC_ERROR_FILE", str(Path(folder) / "error"))
    return LaunchConfig(**{name: value for name, value in options.items() if name in known})


def _ended_as(failures: list[ProcessFailure], processes: int) -> BaseException:
    """Return how this process ends when others failed: as they reported, or, for those that could not, with a report."""
    # SIGTERM is what torchrun ends the others with.
    killed = [failure for failure in failures if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM]
    codes = [failure.exitcode for failure in failures if failure.exitcode > 0]
    if codes and not killed:
        return SystemExit(max(codes))
    first = (killed or failures)[0]
    return MachineError(
        f"process {first.local_rank + 1} of {processes} was ended by {first.signal_name()}",
        "the system kills what takes too much memory: lower --batch-size or --nproc, and go on with --resume",
    )


@dataclass(frozen=True)
class Part:
    """One process's part in a training.

    Args:
        run: the run's folder in the leader; elsewhere a copy, thrown away in the end.
        settings: elsewhere without what would be reported twice.
        progress: elsewhere silent.
    """

    run: Run
    settings: Settings
    progress: Progress


@contextmanager
def taking_part(
    run: Run, settings: Settings, progress: Progress, world: World, *, resume: bool
) -> Iterator[Part]:
    """Give each process its part, and let all of them stop together.

    Every process computes what a run leaves, and writes it: the leader into the run, the others beside it. So
    whatever is read back later is there in each of them.

    Args:
        resume: what `run` holds is needed to go on.
    """
    with world.stopping_together():
        if world.leads:
            world.in_turn(lambda: None)
            yield Part(run, settings, progress)
            return
        with tempfile.TemporaryDirectory(prefix=f"medimg-{world.rank}-") as folder:
            mine = Run(Path(folder) / run.name)
            no_lock = shutil.ignore_patterns(run.lock_path.name)
            world.in_turn(
                lambda: (
                    shutil.copytree(run.folder, mine.folder, ignore=no_lock)
                    if resume
                    else mine.folder.mkdir()
                )
            )
            untracked = settings.train.model_copy(update={"track": TrainSettings().track})
            yield Part(mine, settings.model_copy(update={"train": untracked}), SilentProgress())
