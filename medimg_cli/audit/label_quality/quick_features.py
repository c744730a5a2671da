"""Features of small grey pictures, computed at once: coarse brightness and directions of edges.

Histograms of oriented gradients after Dalal N, Triggs B. CVPR 2005:886-893, with square roots after the
normalisation of blocks (Hellinger kernel; Arandjelović R, Zisserman A. CVPR 2012:2911-2918).
"""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.audit.measurements.thumbnails import SIDE_PX

_COARSE_PX = 24
_CELL_PX = 16
_CELLS = SIDE_PX // _CELL_PX
_DIRECTIONS = 9
_BATCH = 256
# Grey levels added to a picture's standard deviation: a nearly flat one is not blown up to full contrast.
_FLAT_LEVELS = 4.0
# Likewise for a block's gradients, in grey levels summed over a cell.
_FLAT_GRADIENTS = 5.0


def quick_features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return features (N, D) of grey pictures (N, SIDE_PX, SIDE_PX): brightness and edges, of equal weight."""
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    if not batches:
        return np.empty((0, 0), dtype=np.float32)
    brightness = np.concatenate([_brightness(batch) for batch in batches])
    edges = np.concatenate([_edges(batch) for batch in batches])
    return side_by_side(brightness, edges)


def side_by_side(*blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return blocks of features (N, D_i) as one (N, sum D_i), each scaled to the same total variance."""
    scaled = []
    for block in blocks:
        variance = float(block.var(axis=0, dtype=np.float64).sum())
        scaled.append(block / np.float32(np.sqrt(variance) if variance > 0 else 1.0))
    return np.concatenate(scaled, axis=1)


def _brightness(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = SIDE_PX // _COARSE_PX
    coarse = batch.reshape(-1, _COARSE_PX, step, _COARSE_PX, step).mean(axis=(2, 4), dtype=np.float32)
    flat = coarse.reshape(len(batch), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    centred: NDArray[np.float32] = flat / (flat.std(axis=1, keepdims=True) + np.float32(_FLAT_LEVELS))
    return centred


def _edges(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the normalised histograms (B, blocks * 4 cells * directions)."""
    cells = _histograms(batch)
    blocks = np.concatenate(
        [cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:]], axis=-1
    )
    length = np.linalg.norm(blocks, axis=-1, keepdims=True)
    rooted: NDArray[np.float32] = np.sqrt(blocks / (length + _FLAT_GRADIENTS)).astype(np.float32)
    return rooted.reshape(len(batch), -1)


def _histograms(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return gradient strength (B, cells, cells, directions), each shared by the two nearest directions."""
    grey = batch.astype(np.float32)
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(across, down).ravel()
    turn = (np.arctan2(down, across).ravel() % np.float32(np.pi)) * np.float32(_DIRECTIONS / np.pi)
    lower = turn.astype(np.int64) % _DIRECTIONS
    share = turn - np.floor(turn)
    place = np.arange(SIDE_PX) // _CELL_PX
    cell = (np.arange(len(batch))[:, None, None] * _CELLS + place[:, None]) * _CELLS + place
    first = cell.ravel() * _DIRECTIONS
    size = len(batch) * _CELLS * _CELLS * _DIRECTIONS
    histogram = np.bincount(first + lower, strength * (1 - share), size)
    histogram += np.bincount(first + (lower + 1) % _DIRECTIONS, strength * share, size)
    return histogram.reshape(len(batch), _CELLS, _CELLS, _DIRECTIONS).astype(np.float32)
