"""Figures of how one image looks, measured once while it is decoded."""

from dataclasses import dataclass, fields

import numpy as np

from medimg_cli.core.image import DecodedImage


@dataclass(frozen=True)
class Looks:
    """Figures of one image, grey values in 0..1 of the type's range, also for 16 bits.

    Args:
        mean, std, minimum, maximum: of all samples.
    """

    mean: float
    std: float
    minimum: float
    maximum: float


LOOKS_COLUMNS = tuple(field.name for field in fields(Looks))


def look_at(image: DecodedImage) -> Looks:
    """Return the figures of a decoded image."""
    pixels = image.pixels
    white = float(np.iinfo(pixels.dtype).max)
    return Looks(
        mean=float(pixels.mean(dtype=np.float64)) / white,
        std=float(pixels.std(dtype=np.float64)) / white,
        minimum=int(pixels.min()) / white,
        maximum=int(pixels.max()) / white,
    )
