"""Area under the receiver operating characteristic curve."""

import numpy as np

from medimg_cli.core.intervals import clustered_auroc, delong, logit_interval
from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest


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
