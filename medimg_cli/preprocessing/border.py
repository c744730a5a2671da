"""Uniform frames around a picture: found, and cut on request of the recipe."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_SHARE = 0.25
"""At most this share of a side is cut at each end: a mostly black picture is no frame."""

_TOLERANCE = 10 / 255  # what lossy compression leaves of a black or white frame
_ROUNDS = 2  # a white frame around a black one


@dataclass(frozen=True)
class Border:
    """How many pixels are cut at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))

    def shares(self, width: int, height: int) -> str:
        """Return what is cut as shares of the picture's sides, "left,top,right,bottom"; "" for nothing."""
        if not self:
            return ""
        cut = (self.left / width, self.top / height, self.right / width, self.bottom / height)
        return ",".join(f"{share:.4f}" for share in cut)


def find_border(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Border:
    """Return the frame of a picture (H, W, C): outer rows and columns that are black or white all along.

    Never more than `LARGEST_SHARE` of a side, and nothing of a picture that has no content at all.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = 0, 0, 0, 0
    most_rows, most_columns = int(height * LARGEST_SHARE), int(width * LARGEST_SHARE)
    for _ in range(_ROUNDS):
        inside = pixels[top : height - bottom, left : width - right]
        first, last = _uniform_ends(inside, axis=1)
        top, bottom = min(top + first, most_rows), min(bottom + last, most_rows)
        inside = pixels[top : height - bottom, left : width - right]
        first, last = _uniform_ends(inside, axis=0)
        left, right = min(left + first, most_columns), min(right + last, most_columns)
    return Border(left, top, right, bottom)


def cut(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], border: Border
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the picture (H, W, C) without its border, contiguous."""
    height, width = pixels.shape[:2]
    rows, columns = slice(border.top, height - border.bottom), slice(border.left, width - border.right)
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels[rows, columns], dtype=np.uint8)
    return np.ascontiguousarray(pixels[rows, columns], dtype=np.uint16)


def _uniform_ends(pixels: NDArray[np.uint8] | NDArray[np.uint16], axis: int) -> tuple[int, int]:
    """Return how many lines at the beginning and at the end are uniform; (0, 0) when all of them are."""
    white = int(np.iinfo(pixels.dtype).max)
    limit = round(white * _TOLERANCE)
    along = (axis, 2)
    uniform = (pixels.max(axis=along) <= limit) | (pixels.min(axis=along) >= white - limit)
    if uniform.all():
        return 0, 0
    return int(np.argmin(uniform)), int(np.argmin(uniform[::-1]))
