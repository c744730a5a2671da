"""Pictures turned upright."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TURNED_ASIDE = (5, 6, 7, 8)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, C) turned as an orientation says, which corner of the picture the first sample is.

    Args:
        orientation: 1 to 8, Exif 2.32, 4.6.4 = TIFF 6.0, section 8; others mean nothing.
    """
    if orientation in TURNED_ASIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
