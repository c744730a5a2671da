"""A first look at likely pairs, many at once: is the fine structure alike, block by block, each shifted a little?

Laying one picture onto another takes a thousand times as long as a fingerprint. Of 5,808 pairs of chest X-rays whose
fingerprints were alike and that showed different children 99 % fall out here, of 2,547 copies of 17 kinds none.
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from medimg_cli.audit.duplicates.alignment import CONTRAST, FLOOR, NEIGHBOURHOOD_PX, SMOOTHING_PX
from medimg_cli.audit.duplicates.fingerprint import REDUCED_PX, Floats
from medimg_cli.audit.measurements.thumbnails import SIDE_PX

WORTH_ALIGNING = 0.72
_SHIFT_PX = 2
_BLOCKS, _BLOCK_PX = 3, 14
_RIM_PX = (REDUCED_PX - _BLOCKS * _BLOCK_PX) // 2


def likeness_of_blocks(moving: Floats, still: Floats) -> Floats:
    """Return how alike pairs of pictures are, about -1..1 (N): blocks at their best shift, by their strength.

    Args:
        moving: (N, REDUCED_PX²), reduced pictures.
        still: (N, REDUCED_PX²), altered as `moving` is.
    """
    one, other = _fine_structure(moving), _fine_structure(still)
    inner = slice(_RIM_PX, REDUCED_PX - _RIM_PX)
    other = np.ascontiguousarray(other[:, inner, inner])
    strength = np.sqrt(_sums(np.square(one[:, inner, inner])) * _sums(np.square(other)))
    best = np.full(strength.shape, -np.inf, dtype=np.float32)
    shifts = range(-_SHIFT_PX, _SHIFT_PX + 1)
    for down in shifts:
        rows = slice(_RIM_PX + down, REDUCED_PX - _RIM_PX + down)
        for across in shifts:
            columns = slice(_RIM_PX + across, REDUCED_PX - _RIM_PX + across)
            np.maximum(best, _sums(one[:, rows, columns] * other), out=best)
    best = np.minimum(best, strength)
    total = strength.sum(axis=(1, 2))
    return np.asarray(best.sum(axis=(1, 2)) / np.maximum(total, 1e-6), dtype=np.float32)


def _fine_structure(vectors: Floats) -> Floats:
    """Return what `alignment.fine_structure` does of evened pictures, of many and reduced (N, side, side)."""
    deviation = np.maximum(vectors.std(axis=1, keepdims=True), 1e-3)
    evened = (vectors - vectors.mean(axis=1, keepdims=True)) * np.float32(CONTRAST) / deviation
    pictures = evened.reshape(-1, REDUCED_PX, REDUCED_PX)
    fine, wide = _smoothing(SMOOTHING_PX), _smoothing(NEIGHBOURHOOD_PX)
    rest = pictures - fine @ pictures @ fine.T
    return np.asarray(rest / (np.sqrt(wide @ np.square(rest) @ wide.T) + FLOOR), dtype=np.float32)


@lru_cache(maxsize=2)
def _smoothing(deviation_px: float) -> Floats:
    """Return the matrix that smooths columns of a reduced picture; the width is given in thumbnail pixels."""
    width = deviation_px * REDUCED_PX / SIDE_PX
    return np.asarray(gaussian_filter1d(np.eye(REDUCED_PX), width, axis=0, mode="mirror"), dtype=np.float32)


def _sums(products: Floats) -> Floats:
    """Return the sums over each block (N, blocks, blocks) of (N, side, side)."""
    rows = products.reshape(len(products), _BLOCKS, _BLOCK_PX, -1).sum(axis=2)
    return np.asarray(rows.reshape(len(products), _BLOCKS, _BLOCKS, _BLOCK_PX).sum(axis=3), dtype=np.float32)
