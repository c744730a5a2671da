"""In which floating-point format a network is trained: as the device computes fast, and asked of it without torch."""

import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medimg_cli.errors import MachineError
from medimg_cli.workspace.progress import Progress

_CPU_FACTS = Path("/proc/cpuinfo")
# As Linux names what multiplies bfloat16: whole tiles (AMX), and beside it vectors of Intel, AMD and Arm. On a
# processor with the vectors alone a training step took 1.03 to 1.34 times the CPU time it takes in fp32 (resnet18 at
# 64 px, small-cnn at 128 and 28 px; torch 2.13), so these do not make a processor fast in it.
_FAST_BF16 = "amx_bf16"
_HAVE_BF16 = frozenset({_FAST_BF16, "avx512_bf16", "bf16"})
_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def processor_flags(facts: Path = _CPU_FACTS) -> frozenset[str]:
    """Return what the first processor says it can do; empty where the system does not tell (it is not Linux)."""
    if platform.system() != "Linux" or not facts.is_file():
        return frozenset()
    for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return frozenset(values.split())
    return frozenset()


def precision_of(wanted: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16: what is `wanted`, or with "auto" the shortest one that `device` gains from.

    A processor gains from bfloat16 where it multiplies whole tiles of it, and nowhere from fp16.

    Raises:
        MachineError: `device` cannot train in it at all.
    """
    if wanted == "fp32" or (wanted == "auto" and device.type not in ("cpu", "cuda")):
        return "fp32"
    if device.type not in ("cpu", "cuda"):
        raise MachineError(f"--precision {wanted} is not there on {device.type}", "give --precision fp32")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _FAST_BF16 in processor_flags() else "fp32"


def warn_of_slow_precision(wanted: str, device: torch.device, progress: Progress) -> None:
    """Say so where a format was asked for that this processor only imitates.

    Without any instruction for bfloat16 a product of matrices took 55 times as long in it as in fp32.
    """
    slow = wanted == "fp16" or (wanted == "bf16" and not processor_flags() & _HAVE_BF16)
    if device.type == "cpu" and slow:
        progress.warn(
            f"--precision {wanted}: this processor has no instructions for it, and takes many times as long as in fp32"
        )


class Precision:
    """Casts the forward pass, and keeps small gradients of fp16 above zero (Micikevicius et al. 2018, arXiv:1710.03740).

    Args:
        name: fp32, bf16 or fp16. In fp32 nothing changes, to the bit.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._dtype, self._device = _DTYPES[name], device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def casting(self) -> AbstractContextManager[Any]:
        """Return the context for a forward pass."""
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, scaled where the format needs it."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, network: nn.Module, clip: float) -> None:
        """Clip the gradients to the norm `clip` (0 = any) and move; gradients that overflowed move nothing."""
        self._scaler.unscale_(optimizer)
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return what changes while training; empty but for fp16."""
        return dict(self._scaler.state_dict())

    def restore(self, state: Mapping[str, Any]) -> None:
        self._scaler.load_state_dict(dict(state))
