"""Area under the receiver operating characteristic curve."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import clustered_auroc, delong, logit_interval
from medimg_cli.statistics.sampling import bootstrap_of, percentiles


@METRICS.register("auroc")
def auroc(view: OneVsRest) -> Estimate:
    """Return the chance that a random positive scores above a random negative (ties count half)."""
    if view.truth.all() or not view.truth.any():
        return Estimate(value=None, n=view.n, reason="only one class occurs")
    sampling = view.sampling
    area, variance = delong(view.truth, view.score)
    effect, method, units = None, "DeLong, logit scale", None
    if sampling.clustered:
        independent = variance
        area, variance = clustered_auroc(view.truth, view.score, sampling.unit_of)
        effect = variance / independent if independent > 0 else None
        method = "DeLong by patient (Obuchowski), logit scale"
        units = max(2, min(len(np.unique(sampling.unit_of[rows])) for rows in (view.truth, ~view.truth)))
    low, high = logit_interval(area, variance, units=units) or (None, None)
    if low is None:
        return Estimate(value=area, n=view.n)
    return Estimate(value=area, low=low, high=high, method=method, n=view.n, design_effect=effect)


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
