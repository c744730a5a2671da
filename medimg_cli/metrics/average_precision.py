"""Average precision."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.core.sampling import bootstrap_of, percentiles
from medimg_cli.metrics import METRICS, OneVsRest


@METRICS.register("average_precision")
def average_precision(view: OneVsRest) -> Estimate:
    """Return the sum of precision over the steps in recall; a random score gets the prevalence.

    For the interval scores are put on at most 256 levels of as many images each, so that replicates are counts.
    """
    if not view.truth.any():
        return Estimate(value=None, n=view.n, reason="no image of this class")
    value = float(average_precision_score(view.truth, view.score))
    drawn = view.levels.drawn
    between = percentiles(_areas(drawn))
    if between is None:
        return Estimate(value=value, n=view.n)
    lost = value - float(_areas(view.levels.counts)[0])  # what the levels make of it, small
    low, high = (min(max(edge + lost, 0.0), 1.0) for edge in between)
    method = bootstrap_of(view.sampling.unit, len(drawn))
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=view.n)


def _areas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return average precision (B,) of counts (B, levels, 2) of negatives and positives, NaN without a positive."""
    falling = tables[:, ::-1]
    found = falling[..., 1].cumsum(axis=1)
    taken = falling.sum(axis=2).cumsum(axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: NDArray[np.float64] = (falling[..., 1] * precision).sum(axis=1) / found[:, -1]
    return areas
