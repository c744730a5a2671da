"""Answers to be held back: images by certainty, and the error among those that are answered."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_POINTS = 200


def most_certain_first(certainty: NDArray[np.float64], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the places (N,) of images from the most certain to the least; equals stand in the order of their ids."""
    order: NDArray[np.int64] = np.lexsort((np.asarray(ids, dtype=str), -certainty)).astype(np.int64)
    return order


def selective_risk(wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of wrong answers (N,) among the first 1, 2, … N images.

    Its mean is the area under the risk–coverage curve: Geifman Y, Uziel G, El-Yaniv R. ICLR 2019, arXiv:1805.08206.

    Args:
        wrong: (N,), the most certain image first.

    >>> selective_risk(np.array([False, False, True, False])).round(4).tolist()
    [0.0, 0.0, 0.3333, 0.25]
    """
    risk: NDArray[np.float64] = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return risk


def kept_points(n: int) -> NDArray[np.int64]:
    """Return which of n points are drawn: all of them, or 200 at even distances, the first and the last included."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(np.int64))


def referred_of(n: int, share: float) -> int:
    """Return how many of n images a share of them is, halves rounded up."""
    return int(np.floor(share * n + 0.5))
