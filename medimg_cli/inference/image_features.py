"""What is measured of one image to tell whether it is like those a model learnt from, without asking the network.

Everything but colour and size is measured on the pixels that the recipe makes: those of the training images lie in the
cache and are measured the very same way, at the same size. `audit.measurements.image_statistics` measures files for the
audit with OpenCV, whose import alone takes as long as answering for an image; these are their kin in plain numpy.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.preprocessing.recipe import Pixels, Recipe

Grey = NDArray[np.float32]

RINGS = 8
_FIGURES = (
    "mean std p01 p05 p25 p50 p75 p95 p99 contrast black white entropy sharpness noise steps direction border top left "
    + " ".join(f"ring{number}" for number in range(1, RINGS + 1))
)
_COLOUR_FIGURES = ("colour", "red_green", "green_blue")
BEST_HIGH, BEST_LOW = ("sharpness", "contrast"), ("noise", "black", "white")
"""Figures of quality, of which a small and of which a large one is bad."""
_LUMA = tuple(np.array([0.299, 0.587, 0.114], dtype=np.float32))  # ITU-R BT.601
_QUANTILES = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
_BLUR_TAPS = 9
_BLACK, _WHITE = 2, 253  # of 0..255: resizing and JPEG do not leave the ends of the range alone
_FAINT = 1e-4  # keeps figures of pictures that show nothing finite
_BORDER_SHARE = 1 / 16


def figure_names(channels: int) -> tuple[str, ...]:
    """Return what `figures_of` returns for pictures of so many channels, in this order."""
    return (*_FIGURES.split(), *(_COLOUR_FIGURES if channels == 3 else ()))


def grey_of(shares: NDArray[np.float32]) -> Grey:
    """Return the brightness (H, W) of (H, W, C) in 0..1."""
    if shares.shape[2] == 1:
        return shares[..., 0]
    red, green, blue = (shares[..., layer] * weight for layer, weight in enumerate(_LUMA))
    return np.asarray(red + green + blue, dtype=np.float32)


def figures_of(shares: NDArray[np.float32], grey: Grey) -> NDArray[np.float64]:
    """Return the figures (F,) of a picture (H, W, C) in 0..1 with brightness `grey` (H, W).

    greys: of the brightness; contrast is p99 − p01; black and white the shares at the ends of the range; entropy that
    of 256 levels, over 8 bits. sharpness: the share of its steps that a picture loses to a 9-pixel mean (Crete F et al.
    Proc SPIE 2007;6492:64920I). noise: its standard deviation (Immerkaer J. Comput Vis Image Underst 1996;64:300-302).
    steps: decadic logarithm of the mean step between neighbours; direction: of those across over those down. border,
    top, left: brightness there less that of the rest. rings: decadic logarithm of the spectrum's share in eight equal
    parts of the way to the highest frequency. colour: greatest less least channel; the others differences of two.
    """
    found = [*_of_greys(grey), *_of_detail(grey), *_of_places(grey), *_spectrum(grey)]
    if shares.shape[2] == 3:
        red, green, blue = (np.ascontiguousarray(shares[..., layer]) for layer in range(3))
        # Far quicker than the greatest and the least along an axis of three.
        spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        found += [_mean(spread), _mean(red - green), _mean(green - blue)]
    return np.array(found, dtype=np.float64)


def _of_greys(grey: Grey) -> list[float]:
    levels = (grey * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    shares = np.bincount(levels.ravel(), minlength=256) / levels.size
    values = np.arange(256) / 255
    mean = float(shares @ values)
    std = float(np.sqrt(shares @ (values - mean) ** 2))
    quantiles = values[np.searchsorted(np.cumsum(shares), _QUANTILES - 1e-9)]
    black, white = float(shares[: _BLACK + 1].sum()), float(shares[_WHITE:].sum())
    there = shares[shares > 0]
    entropy = abs(float(there @ np.log2(there))) / 8
    return [mean, std, *quantiles.tolist(), float(quantiles[-1] - quantiles[0]), black, white, entropy]


def _of_detail(grey: Grey) -> list[float]:
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    kept = _lost_to_blur(grey, across), _lost_to_blur(grey.T, down.T)
    second = np.diff(np.diff(grey, 2, axis=0), 2, axis=1)
    noise = float(np.sqrt(np.pi / 2) * _mean(np.abs(second)) / 6) if second.size else 0.0
    sideways, upright = _mean(across) + _FAINT, _mean(down) + _FAINT
    return [min(kept), noise, float(np.log10(sideways + upright)), float(np.log10(sideways / upright))]


def _lost_to_blur(grey: Grey, steps: Grey) -> float:
    """Return the share of the steps along rows (H, W − 1) that a mean of nine pixels in a row takes away."""
    total = float(steps.sum(dtype=np.float64))
    if total == 0:
        return 0.0
    half = _BLUR_TAPS // 2
    padded = np.pad(grey, ((0, 0), (half, half)), mode="edge")
    # Neighbouring means differ by what enters less what leaves: no mean has to be taken.
    blurred = np.abs(padded[:, _BLUR_TAPS:] - padded[:, :-_BLUR_TAPS]) / np.float32(_BLUR_TAPS)
    return float(np.maximum(steps - blurred, 0).sum(dtype=np.float64)) / total


def _of_places(grey: Grey) -> list[float]:
    height, width = grey.shape
    down, across = (max(1, round(side * _BORDER_SHARE)) for side in grey.shape)
    inner = grey[down : height - down, across : width - across]
    total, framed = float(grey.sum(dtype=np.float64)), float(inner.sum(dtype=np.float64))
    border = (total - framed) / max(1, grey.size - inner.size)
    centre = framed / inner.size if inner.size else border
    top = _mean(grey[: height // 2]) - _mean(grey[height // 2 :])
    left = _mean(grey[:, : width // 2]) - _mean(grey[:, width // 2 :])
    return [border - centre, top, left]


def _spectrum(grey: Grey) -> list[float]:
    height, width = grey.shape
    window, rings = _window(height, width)
    power = np.abs(np.fft.rfft2((grey - grey.mean(dtype=np.float64)) * window)) ** 2
    sums = np.bincount(rings.ravel(), weights=power.ravel(), minlength=RINGS + 1)[:RINGS]
    shares = sums / (float(sums.sum()) + _FAINT)
    found: list[float] = np.log10(shares + _FAINT**2).tolist()
    return found


@lru_cache(maxsize=4)
def _window(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the window against edges (H, W), and each frequency's ring (H, W // 2 + 1), the last for the corners."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    distance = np.hypot(down, across) / 0.5
    rings = np.minimum((distance * RINGS).astype(np.int64), RINGS)
    rings[np.isclose(distance, 1.0)] = RINGS - 1
    return np.outer(np.hanning(height), np.hanning(width)), rings


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else 0.0


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
    return measure_shares(shares_of(pixels), recipe, width, height, colour_of(image))


def measure_pixels(pixels: Pixels, recipe: Recipe, width_px: float, height_px: float) -> Measured:
    """Return what is measured of grey pixels (H, W, C) whose image was of this size."""
    return measure_shares(shares_of(pixels), recipe, width_px, height_px)


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
