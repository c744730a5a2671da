"""Contrast-limited adaptive histogram equalisation, on request of the recipe."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TILES = 8
CLIP = 2.0
_LEVELS = 256


def equalise_adaptively(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture (H, W) uint8 with its local contrast evened out, same shape and type.

    Zuiderveld K. Contrast limited adaptive histogram equalization. Graphics Gems IV, 1994, 474-485: an 8x8 grid
    of tiles; each tile's histogram is cut at twice its mean height, and what was cut off is spread over all grey
    levels; its cumulative sum maps grey levels, and a pixel takes the maps of the four nearest tile centres,
    weighted bilinearly. Sides that the grid does not divide are continued by reflection for the histograms. A
    side shorter than the grid has one tile per pixel.
    """
    height, width = pixels.shape
    rows, columns = min(TILES, height), min(TILES, width)
    tall, wide = -(-height // rows), -(-width // columns)
    maps = _tile_maps(pixels, rows, columns, tall, wide)
    above, below, down = _neighbours(height, tall, rows)
    left, right, across = _neighbours(width, wide, columns)
    result = np.empty_like(pixels)
    # Rows between the same two tile centres share their maps: in bands, no picture-sized table is needed.
    edges = [0, *(np.flatnonzero(np.diff(above) | np.diff(below)) + 1).tolist(), height]
    for start, stop in pairwise(edges):
        band = pixels[start:stop]
        upper, lower = (
            maps[tile, left, band] * (1 - across) + maps[tile, right, band] * across
            for tile in (above[start], below[start])
        )
        weight = down[start:stop, None]
        result[start:stop] = np.rint(upper * (1 - weight) + lower * weight).astype(np.uint8)
    return result


def _tile_maps(
    pixels: NDArray[np.uint8], rows: int, columns: int, tall: int, wide: int
) -> NDArray[np.float32]:
    """Return each tile's map from grey level to 0..255, (rows, columns, 256)."""
    height, width = pixels.shape
    whole = np.pad(pixels, ((0, rows * tall - height), (0, columns * wide - width)), mode="reflect")
    tiles = whole.reshape(rows, tall, columns, wide).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    counts = np.stack([np.bincount(tile, minlength=_LEVELS) for tile in tiles]).astype(np.float32)
    limit = CLIP * tall * wide / _LEVELS
    excess = np.maximum(counts - limit, 0).sum(axis=1, keepdims=True)
    evened = np.minimum(counts, limit) + excess / _LEVELS
    cumulated: NDArray[np.float32] = evened.cumsum(axis=1) * ((_LEVELS - 1) / (tall * wide))
    return cumulated.clip(0, _LEVELS - 1).reshape(rows, columns, _LEVELS).astype(np.float32)


def _neighbours(
    length: int, tile: int, tiles: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return, per position, the two nearest tiles and the weight of the second; beyond the last centres one."""
    place = (np.arange(length) + 0.5) / tile - 0.5
    before = np.floor(place).astype(np.int64)
    weight = (place - before).astype(np.float32)
    return before.clip(0, tiles - 1), (before + 1).clip(0, tiles - 1), weight
