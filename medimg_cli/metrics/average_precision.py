"""Average precision."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.core.sampling import bootstrap_of, percentiles
from medimg_cli.metrics import METRICS, OneVsRest

_LEVELS = 256


@METRICS.register("average_precision")
def average_precision(view: OneVsRest) -> Estimate:
    """Return the sum of precision over the steps in recall; a random score gets the prevalence.

    For the interval scores are put on at most 256 levels of as many images each, so that replicates are counts.
    """
    if not view.truth.any():
        return Estimate(value=None, n=view.n, reason="no image of this class")
    value = float(average_precision_score(view.truth, view.score))
    level = _levels(view.score)
    count = int(level.max()) + 1
    cells = level * 2 + view.truth
    drawn = view.sampling.tables(cells, 2 * count).reshape(-1, count, 2)
    between = percentiles(_areas(drawn))
    if between is None:
        return Estimate(value=value, n=view.n)
    here = np.bincount(cells, minlength=2 * count).reshape(1, count, 2).astype(np.float64)
    lost = value - float(_areas(here)[0])  # what the levels make of it, small
    low, high = (min(max(edge + lost, 0.0), 1.0) for edge in between)
    method = bootstrap_of(view.sampling.unit, len(drawn))
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=view.n)


def _levels(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return levels (N,) that rise with the score: one for each distinct score, or 256 of as many images each."""
    distinct, level = np.unique(score, return_inverse=True)
    if len(distinct) <= _LEVELS:
        return level.astype(np.int64)
    edges = np.quantile(score, np.linspace(0, 1, _LEVELS + 1)[1:-1])
    return np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)[1].astype(np.int64)


def _areas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return average precision (B,) of counts (B, levels, 2) of negatives and positives, NaN without a positive."""
    falling = tables[:, ::-1]
    found = falling[..., 1].cumsum(axis=1)
    taken = falling.sum(axis=2).cumsum(axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: NDArray[np.float64] = (falling[..., 1] * precision).sum(axis=1) / found[:, -1]
    return areas
