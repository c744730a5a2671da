"""Batches from a pixel cache: no copies kept, no worker processes needed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import Normalisation

Targets = NDArray[np.int64] | NDArray[np.float32]
"""Class indices (N,), or, of several labels an image, (N, C) of 1, 0 and NaN for unknown."""

_CHUNK = 256


@dataclass(frozen=True)
class Batch:
    """Some images of a split.

    Args:
        inputs: (B, C, H, W) pixels in 0..255, uint8 or, of 16-bit pixels, float32; or (B, …) features.
        targets: (B,) class indices, or (B, C) as in `Targets`.
        places: (B,) where the images stand in their split.
    """

    inputs: Tensor
    targets: Tensor
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True)
class Batches(ABC):
    """What training and validation ask of the images of one split, be they pixels or features.

    Args:
        targets: what is known of each image.
        batch_size: images a batch.
        even: each epoch draws every class equally often, with repetition, instead of every image once.
    """

    targets: Targets
    batch_size: int
    even: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def batches(self) -> int:
        """Return how many batches `in_order` yields."""
        return -(-len(self) // self.batch_size)

    @abstractmethod
    def in_order(self, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Yield all images in the split's order, or of their batches the `first`, counted from 0, and each `every`th."""

    @abstractmethod
    def shuffled(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the images of one epoch in random order."""


@dataclass(frozen=True)
class PixelBatches(Batches):
    """The images of one split.

    Args:
        pixels: (M, H, W, C) uint8 or uint16, usually memory-mapped; may hold other splits too.
        positions: (N,) where this split's images stand in `pixels`.
    """

    pixels: Pixels
    positions: NDArray[np.int64]

    def first(self, count: int) -> Pixels:
        """Return the pixels (count, H, W, C) of the first images of the split, or of all where it has fewer."""
        shown: Pixels = self.pixels[self.positions[:count]]
        return shown

    def in_order(self, first: int = 0, every: int = 1) -> Iterator[Batch]:
        yield from self._take(np.arange(len(self)), first, every)

    def shuffled(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the images of one epoch in random order; a last batch of one image is left out (batch statistics)."""
        order = drawn_order(self.targets, self.even, generator)
        if len(order) > self.batch_size and len(order) % self.batch_size == 1:
            order = order[:-1]
        yield from self._take(order)

    def _take(self, order: NDArray[np.int64], first: int = 0, every: int = 1) -> Iterator[Batch]:
        for start in range(first * self.batch_size, len(order), every * self.batch_size):
            chosen = order[start : start + self.batch_size]
            images = torch.from_numpy(to_255(self.pixels[self.positions[chosen]]))
            yield Batch(images.permute(0, 3, 1, 2), torch.from_numpy(self.targets[chosen]), chosen)


def drawn_order(targets: Targets, even: bool, generator: torch.Generator) -> NDArray[np.int64]:
    """Return (N,) places in `targets` for one epoch: each once, or, where `even`, every class equally often."""
    if not even:
        return torch.randperm(len(targets), generator=generator).numpy()
    classes = targets.astype(np.int64)  # of several labels an image `loss_for` refuses an even draw
    weights = torch.from_numpy(balanced_weights(classes, int(classes.max()) + 1)[classes])
    return torch.multinomial(weights, len(targets), replacement=True, generator=generator).numpy()


def measure_normalisation(batches: PixelBatches) -> Normalisation:
    """Return mean and standard deviation per channel, in units of 0..1, over all images of a split."""
    total = np.zeros(batches.pixels.shape[3])
    squares = np.zeros_like(total)
    for start in range(0, len(batches), _CHUNK):
        chunk = batches.pixels[batches.positions[start : start + _CHUNK]].astype(np.float64)
        chunk /= np.iinfo(batches.pixels.dtype).max
        total += chunk.sum(axis=(0, 1, 2))
        squares += (chunk**2).sum(axis=(0, 1, 2))
    count = len(batches) * batches.pixels.shape[1] * batches.pixels.shape[2]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return Normalisation(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def to_255(pixels: Pixels) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return pixels in 0..255: others as they are, 16-bit ones with their fractions (65535 / 257 = 255)."""
    if pixels.dtype == np.uint16:
        return np.divide(pixels, np.float32(257), dtype=np.float32)
    as_they_are: NDArray[Any] = np.ascontiguousarray(pixels)
    return as_they_are


def balanced_weights(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return class weights (C,) so that every class counts the same; absent classes weigh 0.

    N / (C · n_c), King G, Zeng L. Political Analysis 2001;9:137-163.
    """
    counts = np.bincount(targets, minlength=classes)
    weights = np.zeros(classes)
    present = counts > 0
    weights[present] = len(targets) / (classes * counts[present])
    return weights
