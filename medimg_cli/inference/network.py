"""What a network in use is asked, whichever engine runs it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard


@dataclass(frozen=True)
class Seen:
    """What one network made of N images.

    Args:
        logits: (N, C) of each class or label, not yet divided by the temperature.
        features: (N, D), what its last layers judged.
        maps: (N, C, h, w) class activation maps, where they were asked for and the network has them: their mean over
            the places is a class's logit but for its bias.
    """

    logits: NDArray[np.float64]
    features: NDArray[np.float32]
    maps: NDArray[np.float32] | None = None


class Network(Protocol):
    """One trained network; the card is its own, also where it is a member of an ensemble."""

    @property
    def card(self) -> ModelCard:
        """Return what travels with the weights."""
        ...

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:
        """Return what it makes of (N, H, W, C) pixels made by the model's recipe; each image on its own."""
        ...
