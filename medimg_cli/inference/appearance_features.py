"""Figures of how a picture looks at the size a network sees: greys, sharpness, noise, spectrum, directions, colour.

`audit.measurements.image_statistics` measures files for the audit, with OpenCV, whose import alone takes as long as answering for an image; these
are their kin in plain numpy, at one size, where they tell a kind of picture from another.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

GREYS = (
    "mean",
    "std",
    "p01",
    "p05",
    "p25",
    "p50",
    "p75",
    "p95",
    "p99",
    "contrast",
    "black",
    "white",
    "entropy",
)
DETAIL = ("sharpness", "noise", "steps", "direction")
PLACES = ("border", "top", "left")
RINGS = 8
SPECTRUM = tuple(f"ring{number}" for number in range(1, RINGS + 1))
COLOURS = ("colour", "red_green", "green_blue")
BEST_HIGH, BEST_LOW = ("sharpness", "contrast"), ("noise", "black", "white")
"""Figures of quality, of which a small and of which a large one is bad."""
_LUMA = tuple(np.array([0.299, 0.587, 0.114], dtype=np.float32))  # ITU-R BT.601
_QUANTILES = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
_BLUR_TAPS = 9
_BLACK, _WHITE = 2, 253  # of 0..255: resizing and JPEG do not leave the ends of the range alone
_FAINT = 1e-4  # keeps figures of pictures that show nothing finite
_BORDER_SHARE = 1 / 16


def names(channels: int) -> tuple[str, ...]:
    """Return what `figures_of` returns for pictures of so many channels, in this order."""
    return GREYS + DETAIL + PLACES + SPECTRUM + (COLOURS if channels == 3 else ())


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
