"""Drawn pictures that have much in common, as X-rays have, and are all different."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.audit.measurements.thumbnails import thumbnail
from medimg_cli.images.image import DecodedImage

Picture = NDArray[np.uint8]
SIDE = 192


def draw(seed: int) -> Picture:
    """Return a body of its own (192, 192): what all have in common, and blots at every scale."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((SIDE, SIDE))
    for side, strength in ((3, 20), (8, 22), (24, 18), (64, 12)):
        coarse = Image.fromarray(random.normal(0, strength, (side, side)).astype(np.float32))
        pixels += np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    across = np.linspace(-1, 1, SIDE)
    return (pixels + 150 - 60 * across[None] ** 2 + 20 * across[:, None]).clip(0, 255).astype(np.uint8)


def small(pixels: Picture) -> Picture:
    """Return the thumbnail of a grey picture (H, W)."""
    return thumbnail(DecodedImage(np.ascontiguousarray(pixels)[..., None], 8))
