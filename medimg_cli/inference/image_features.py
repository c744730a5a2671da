"""What is measured of one image to tell whether it is like those a model learnt from, without asking the network.

Everything but colour and size is measured on the pixels that the recipe makes: those of the training images lie in the
cache and are measured the very same way, at the same size.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.appearance_features import figures_of, grey_of
from medimg_cli.preprocessing.recipe import Pixels, Recipe

THUMBNAIL_PX = 32
_COLOUR_SIDE_PX = 128


@dataclass(frozen=True)
class Measured:
    """One image.

    Args:
        width_px, height_px: of the picture in the file, also where it was decoded smaller.
        colour: mean difference of the greatest and the least channel, 0..1, of the picture as it was decoded; 0 of grey.
        thumbnail: (32 · 32 · C,) in 0..1, each value the mean of its area.
        negative: the same of the negative; what a letterbox added stays black.
        figures: by the names of `inference.figures`.
        covered: share of the square that shows the picture, the rest being letterbox.
    """

    width_px: float
    height_px: float
    colour: float
    thumbnail: NDArray[np.float32]
    negative: NDArray[np.float32]
    figures: NDArray[np.float64]
    covered: float


def measure(image: DecodedImage, pixels: Pixels, recipe: Recipe) -> Measured:
    """Return what is measured of an image.

    Args:
        image: as it was decoded.
        pixels: (H, W, C) that `recipe` made of it.
    """
    width, height = size_of(image)
    return measure_pixels(pixels, recipe, width, height, colour_of(image))


def measure_pixels(
    pixels: Pixels, recipe: Recipe, width_px: float, height_px: float, colour: float = 0.0
) -> Measured:
    """Return what is measured of pixels (H, W, C) whose image was of this size and this colour."""
    return measure_shares(shares_of(pixels), recipe, width_px, height_px, colour)


def measure_shares(
    shares: NDArray[np.float32], recipe: Recipe, width_px: float, height_px: float, colour: float = 0.0
) -> Measured:
    """Return what is measured of pixels (H, W, C) in 0..1."""
    seen = _reduced(shares)
    covered = _covered(recipe, width_px, height_px)
    figures = figures_of(shares, grey_of(shares))
    negative = (covered[..., None] - seen).ravel()
    share = float(covered.mean(dtype=np.float64))
    return Measured(width_px, height_px, colour, seen.ravel(), negative, figures, share)


def shares_of(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as shares of their type's range, 0..1."""
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


def size_of(image: DecodedImage) -> tuple[float, float]:
    """Return width and height of the picture in the file, in pixels."""
    width, height = image.extent or (float(image.width), float(image.height))
    _, _, scale = image.facts.get("decoded_at", "1/1").partition("/")
    return width * int(scale), height * int(scale)


def colour_of(image: DecodedImage) -> float:
    """Return how colourful a decoded picture is, 0..1; every so many pixels are enough."""
    if image.channels == 1:
        return 0.0
    step = max(1, min(image.width, image.height) // _COLOUR_SIDE_PX)
    some = image.pixels[::step, ::step]
    spread = some.max(axis=2).astype(np.float64) - some.min(axis=2)
    return float(spread.mean() / np.iinfo(image.pixels.dtype).max)


def _reduced(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (H, W, C) as (32, 32, C), each value the mean of its area."""
    down, across = _areas(shares.shape[0]), _areas(shares.shape[1])
    layers = [down @ np.ascontiguousarray(shares[..., layer]) @ across.T for layer in range(shares.shape[2])]
    return np.asarray(np.stack(layers, axis=-1), dtype=np.float32)


@lru_cache(maxsize=8)
def _areas(side: int) -> NDArray[np.float32]:
    """Return (32, side): the share that each of `side` pixels has in each of 32 equal parts of their length."""
    edges = np.linspace(0, side, THUMBNAIL_PX + 1)
    places = np.arange(side)
    ends = np.minimum(edges[1:, None], places + 1)
    shares = np.clip(ends - np.maximum(edges[:-1, None], places), 0, None)
    return np.asarray(shares * THUMBNAIL_PX / side, dtype=np.float32)


def _covered(recipe: Recipe, width_px: float, height_px: float) -> NDArray[np.float32]:
    """Return the share (32, 32) of each place that shows the picture and not what a letterbox added."""
    side = recipe.size_px
    if recipe.resize_mode != "pad" or recipe.border_crop or width_px == height_px:
        return np.ones((THUMBNAIL_PX, THUMBNAIL_PX), dtype=np.float32)
    scale = side / max(width_px, height_px)
    wide, high = (max(1, round(length * scale)) for length in (width_px, height_px))
    canvas = np.zeros((side, side), dtype=np.float32)
    left, top = (side - wide) // 2, (side - high) // 2
    canvas[top : top + high, left : left + wide] = 1
    return np.asarray(_areas(side) @ canvas @ _areas(side).T, dtype=np.float32)
