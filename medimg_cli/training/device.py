"""Where the arithmetic runs, and what makes it fast there."""

import ctypes
import platform
from collections.abc import Callable

import torch
from torch import Tensor, nn

from medimg_cli.errors import MachineError
from medimg_cli.runs.run import Normalisation
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
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
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
    torch.set_num_threads(here().process.threads())
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _TRIM_NEVER),
        (_M_TOP_PAD, _TOP_PAD_BYTES),
    ):
        libc.mallopt(parameter, value)


Prepare = Callable[[Tensor], Tensor]
"""Turns what batches yield into what the network takes, on its device."""


class Normaliser:
    """Turns pixel values 0..255 into a network's input.

    Args:
        normalisation: per channel, of the training split, in units of 0..1.
        device: where the input is wanted.
    """

    def __init__(self, normalisation: Normalisation, device: torch.device) -> None:
        shape = (1, len(normalisation.mean), 1, 1)
        self._mean = torch.tensor(normalisation.mean, device=device).reshape(shape) * 255
        self._scale = 1 / (torch.tensor(normalisation.std, device=device).reshape(shape) * 255)
        self._device = device

    def __call__(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) float32, channels last in memory; `images` holds 0..255 of any number type."""
        moved = images.to(self._device, torch.float32)
        return ((moved - self._mean) * self._scale).contiguous(memory_format=torch.channels_last)
