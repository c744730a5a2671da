"""From the numbers in a file to black and white: shared by the readers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)
_LEAST_KINDS = 32


def significant_bits(largest: int) -> int:
    """Return how many of a 16-bit file's bits are in use: 8, 12 or 16.

    12-bit detectors and 8-bit exports stored in 16 bits are common, and shown by the full range they would be
    nearly black.

    Args:
        largest: the largest sample of the image.
    """
    if largest < 1 << 8:
        return 8
    return 12 if largest < 1 << 12 else 16


def spread_to_uint16(samples: NDArray[Any], bits: int) -> NDArray[np.uint16]:
    """Return unsigned samples of `bits` bits (any shape) over the full range 0..65535.

    >>> spread_to_uint16(np.array([0, 4095]), 12)
    array([    0, 65535], dtype=uint16)
    """
    largest = (1 << bits) - 1
    wide = samples.astype(np.uint64) * np.uint64(65535)
    return ((wide + np.uint64(largest // 2)) // np.uint64(largest)).astype(np.uint16)


def robust_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentile of the finite values, or least and greatest where these agree.

    A few hot pixels or a metal implant then do not push everything else into the dark. An array without a
    finite value gives (0, 0).
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 0.0
    low, high = (float(edge) for edge in np.percentile(finite, PERCENTILES))
    return (low, high) if low < high else (float(finite.min()), float(finite.max()))


def without_padding(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return the values (any shape) without what stands for no measurement, (M,), and the words for it, "" for none.

    Padding nobody declared is one value at an end of the range, in 0.5 % of the samples or more, so far from all others
    that stretched with it they would share less than a third of the greys: -32768 around a CT, -3.4e38 in an elevation map.
    Values of fewer than 32 kinds are labels or a mask, and stay.
    """
    kept, found = values[np.isfinite(values)].ravel(), []
    for edge in (np.min, np.max, np.min):
        rest = _without_edge(kept, float(edge(kept))) if kept.size else None
        if rest is not None:
            found.append(f"{float(edge(kept)):g}")
            kept = rest
    return kept, f"; {' and '.join(found)} taken for padding" if found else ""


def _without_edge(values: NDArray[Any], edge: float) -> NDArray[Any] | None:
    """Return finite values (N,) without one at their end that is padding, None where it is none."""
    padded = values == values.dtype.type(edge)
    if int(np.count_nonzero(padded)) * 100 < values.size * PERCENTILES[0] or padded.all():
        return None
    # A look at a few thousand spares most images the rest.
    if not _is_far(edge, values[:: max(1, values.size // 4096)]):
        return None
    rest: NDArray[Any] = values[~padded]
    return rest if _is_far(edge, rest) and np.unique(rest).size >= _LEAST_KINDS else None


def _is_far(edge: float, values: NDArray[Any]) -> bool:
    others = values[values != values.dtype.type(edge)].astype(np.float64)
    if not others.size:
        return False
    low, high = robust_range(others)
    return min(abs(float(others.min()) - edge), abs(float(others.max()) - edge)) > 2 * (high - low) > 0


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Return values as 0..1: `low` and below black, `high` and above white, NaN black; all black when equal."""
    if not low < high:
        return np.zeros(values.shape, dtype=np.float64)
    shown = (values.astype(np.float64) - low) / (high - low)
    clipped: NDArray[np.float64] = np.clip(np.nan_to_num(shown, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    return clipped


def window_edges(centre: float, width: float) -> tuple[float, float]:
    """Return what a LINEAR window shows black and white (DICOM PS3.3 C.11.2.1.2.1)."""
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def describe_beyond(display: NDArray[Any], values: NDArray[Any]) -> str:
    """Return the words a window's description goes on with where it shows values that differ as one grey, else ""."""
    is_flat = display.size and display.min() == display.max() and values.min() != values.max()
    return ", every sample beyond it" if is_flat else ""


def describe_range(low: float, high: float) -> str:
    """Return the words a manifest records for a robust range."""
    return f"percentiles {PERCENTILES[0]:g}-{PERCENTILES[1]:g}: {low:g}..{high:g}"


NOT_SQUARE = "its pixels are not square, and shown as squares"


def are_not_square(*sides: float) -> bool:
    """Return whether sides of a pixel, in any unit, differ by more than 1 %."""
    return min(sides) > 0 and max(sides) > 1.01 * min(sides)


def on_black(pixels: NDArray[Any], cover: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (H, W, C) under a cover (H, W, 1) laid on black, the background of medical displays.

    Colour under full cover stays; both use the full range of their unsigned types.
    """
    most = int(np.iinfo(cover.dtype).max)
    laid: NDArray[Any] = (pixels.astype(np.uint64) * cover + most // 2) // most
    return laid.astype(pixels.dtype)


def describe_missing(values: NDArray[Any]) -> str:
    """Return the words a window's description goes on with where values are NaN or infinite, "" where none is.

    Raises:
        ValueError: no value is finite.
    """
    if values.dtype.kind != "f":
        return ""
    missing = values.size - int(np.isfinite(values).sum())
    if missing and missing == values.size:
        raise ValueError("no sample of the image is a finite number")
    return f"; {missing:,} samples are no finite number" if missing else ""


def show_samples(samples: NDArray[Any]) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, dict[str, str]]:
    """Return (pixels of the same shape, bits a sample had, facts) of samples that come without a display rule.

    8 bits stay, 16 bits are spread by the bits in use, everything else is stretched over its robust range.

    Raises:
        TypeError: the samples are not real numbers.
        ValueError: none of them is finite.
    """
    kind, bits = samples.dtype.kind, samples.dtype.itemsize * 8
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False), 8, {}
    if kind == "b":
        return samples.astype(np.uint8) * np.uint8(255), 1, {}
    if kind not in "uif":
        raise TypeError(f"samples of type {samples.dtype}")
    if kind in "ui" and samples.size and samples.min() >= 0 and samples.max() <= 65535:
        most, padding = int(samples.max()), ""
        if most >= 1 << 12:
            rest, padding = without_padding(samples)
            most = int(rest.max())
        used = significant_bits(most)
        facts = {} if used == 16 else {"window": f"{used} of 16 bits in use{padding}"}
        return spread_to_uint16(np.minimum(samples, (1 << used) - 1), used), used, facts
    missing = describe_missing(samples)
    rest, padding = without_padding(samples)
    low, high = robust_range(rest)
    words = describe_range(low, high) + padding + missing
    pixels = np.rint(stretch(samples, low, high) * 65535).astype(np.uint16)
    return pixels, bits, {"window": words}
