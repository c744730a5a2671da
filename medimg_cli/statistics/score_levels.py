"""Scores on few levels, so that replicates of everything that depends on their order are counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.statistics.sampling import Sampling

_MOST = 256


@dataclass(frozen=True)
class ScoreLevels:
    """How many negatives and positives have a score on each of L levels, the lowest first.

    Args:
        exact: each distinct score is a level of its own.
        counts: (1, L, 2), negatives and positives.
        packed: (B, L, 2), replicates of them, in as few bytes as they need.
    """

    exact: bool
    counts: NDArray[np.float64]
    packed: NDArray[np.unsignedinteger]

    @property
    def drawn(self) -> NDArray[np.float64]:
        """Return the replicates (B, L, 2)."""
        return self.packed.astype(np.float64)


def score_levels(truth: NDArray[np.bool_], score: NDArray[np.float64], sampling: Sampling) -> ScoreLevels:
    """Return the counts on at most 256 levels, which rise with the score.

    Args:
        truth: (N,), True where the reference standard says positive; N at least 1.
        score: (N,); each distinct one has its level, or 256 levels have as many images each.
        sampling: of the N images.
    """
    level, exact = _levels(score)
    count = int(level.max()) + 1
    cells = level * 2 + truth
    drawn = sampling.tables(cells, 2 * count).reshape(-1, count, 2)
    here = np.bincount(cells, minlength=2 * count).reshape(1, count, 2).astype(np.float64)
    return ScoreLevels(exact, here, drawn.astype(np.min_scalar_type(int(drawn.max()))))


def _levels(score: NDArray[np.float64]) -> tuple[NDArray[np.int64], bool]:
    """Return levels (N,) without a gap, and whether each distinct score has its own."""
    distinct, level = np.unique(score, return_inverse=True)
    if len(distinct) <= _MOST:
        return level.astype(np.int64), True
    edges = np.quantile(score, np.linspace(0, 1, _MOST + 1)[1:-1])
    grouped = np.searchsorted(edges, score, side="right")
    return np.unique(grouped, return_inverse=True)[1].astype(np.int64), False
