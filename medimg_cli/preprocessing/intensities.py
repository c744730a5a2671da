"""How bright images are, as a model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.preprocessing.cache import PixelCache

MOST_IMAGES = 1000
_CHUNK = 64


@dataclass(frozen=True)
class Intensities:
    """Of N images, after preprocessing.

    Args:
        mean: (N,) of all samples of an image, as a share of the range of values.
        std: (N,), likewise their standard deviation.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def intensities_of(
    cache: PixelCache, image_ids: Sequence[str], *, most: int = MOST_IMAGES, seed: int = 0
) -> Intensities | None:
    """Return the brightness of images of a pixel cache, of at most `most` of them, drawn with a fixed seed.

    Returns:
        None where the cache holds none of them.
    """
    index = pd.Index(cache.index["image_id"])
    where = index.get_indexer(pd.Index(list(image_ids)))
    rows = cache.index["row"].to_numpy()[where[where >= 0]]
    if not len(rows):
        return None
    if len(rows) > most:
        rows = np.random.default_rng(seed).choice(rows, most, replace=False)
    rows = np.sort(rows)
    white = np.iinfo(cache.pixels.dtype).max
    figures = [_figures(cache.pixels[rows[start : start + _CHUNK]]) for start in range(0, len(rows), _CHUNK)]
    mean, std = np.concatenate(figures, axis=1) / white
    return Intensities(mean, std)


def compared_intensities(
    cache: PixelCache, training: Sequence[str], here: Sequence[str]
) -> tuple[Intensities, Intensities] | None:
    """Return the brightness of samples of two sets of images, None where the cache lacks one of them."""
    before, now = intensities_of(cache, training), intensities_of(cache, here)
    return None if before is None or now is None else (before, now)


def _figures(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return mean and standard deviation (2, N) of pixels (N, H, W, C)."""
    samples = pixels.reshape(len(pixels), -1).astype(np.float64)
    return np.stack([samples.mean(axis=1), samples.std(axis=1)])
