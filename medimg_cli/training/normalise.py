"""Pixels to network input, the same in training and in use."""

from collections.abc import Callable

import torch
from torch import Tensor

from medimg_cli.runs.run import Normalisation

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
