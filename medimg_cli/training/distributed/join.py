"""Joining the other processes of a training, and leaving them with one voice."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore  # torch.distributed hands them on

from medimg_cli.errors import ExitCode, MachineError, MedimgError
from medimg_cli.training.distributed.all_reduce import ALONE, PeerLostError, World, inside
from medimg_cli.training.distributed.ranks import Seat, seat_of

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
    seat = seat_of(os.environ)
    if seat.size == 1:
        yield ALONE
        return
    world = World(seat)
    before = {number: signal.signal(number, world.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    store = _meet(world, _backend(device, seat))
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
    try:
        store = TCPStore(
            world.seat.address,
            world.seat.port,
            world.size,
            world.leads and not _store_is_there(),
            timeout=_MEETING,
        )
        dist.init_process_group(
            backend,
            store=PrefixStore("medimg", store),
            rank=world.rank,
            world_size=world.size,
            timeout=_STEP,
        )
        world.patient = dist.new_group(backend="gloo", timeout=_WHILE_OTHERS_PREPARE)
    except (RuntimeError, ValueError) as error:
        raise MachineError(
            f"process {world.rank} of {world.size} does not find the others at {world.seat.address}:{world.seat.port}",
            "check that all were started and that the machines reach each other; MASTER_ADDR and MASTER_PORT say where",
        ) from error
    return PrefixStore("medimg-manners", store)


def _store_is_there() -> bool:
    """Return whether torchrun holds the store already, and not the first process."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _backend(device: str, seat: Seat) -> str:
    if device.partition(":")[0] not in ("auto", "cuda") or not torch.cuda.is_available():
        return "gloo"
    here = torch.cuda.device_count()
    if seat.local_rank >= here:
        raise MachineError(
            f"process {seat.local_rank + 1} of {seat.local_size} on this machine finds no GPU of its own: there are {here}",
            "start as many processes as GPUs, or give --device cpu",
        )
    torch.cuda.set_device(seat.local_rank)
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
