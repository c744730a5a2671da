"""Where the arithmetic runs, and what makes it fast there."""

import ctypes
import platform

import torch
from torch import nn

from medimg_cli.errors import MachineError
from medimg_cli.training.distributed.all_reduce import here

# mallopt(3): parameter numbers from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 256 << 20
_TRIM_NEVER = 2**31 - 1


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, then Apple's GPU, then the processor.

    Raises:
        MachineError: this machine does not have it.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(candidate for candidate in ("cuda", "mps", "cpu") if available[candidate])
    if not available.get(name.partition(":")[0], False):
        here = ", ".join(candidate for candidate, usable in available.items() if usable)
        raise MachineError(f"device '{name}' is not available", f"this machine has: {here}")
    return torch.device(name)


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Return `network` on `device`, its weights laid out channels last as its inputs are."""
    # torch's type stubs lack this overload.
    moved: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def prepare_processor() -> None:
    """Use every core, or this process's share of them, and keep freed memory.

    glibc returns large activations to the system after every step and faults them in again in the next;
    keeping them made training steps of a small network about 1.5 times as fast on two cores.
    """
    torch.set_num_threads(here().seat.threads())
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _TRIM_NEVER),
        (_M_TOP_PAD, _TOP_PAD_BYTES),
    ):
        libc.mallopt(parameter, value)
