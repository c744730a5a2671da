"""Networks of our own: a shelf, one file per architecture."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from medimg_cli.registry import Registry


@dataclass(frozen=True)
class Architecture:
    """A network and the settings it was designed with.

    Args:
        about: one line.
        preferred_size_px: side of the images it works best at.
        epochs: how many it needs from scratch.
        lr: highest learning rate of the schedule.
        build: (classes, channels, size_px) → network that maps (N, channels, size_px, size_px) to logits
            (N, classes).
    """

    about: str
    preferred_size_px: int
    epochs: int
    lr: float
    build: Callable[[int, int, int], nn.Module]


ARCHITECTURES: Registry[Architecture] = Registry("architecture", __name__)
