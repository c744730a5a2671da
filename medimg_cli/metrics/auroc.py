"""Area under the receiver operating characteristic curve."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.core.intervals import delong, logit_interval
from medimg_cli.metrics import METRICS, OneVsRest


@METRICS.register("auroc")
def auroc(view: OneVsRest) -> Estimate:
    """Return the chance that a random positive scores above a random negative (ties count half)."""
    if view.truth.all() or not view.truth.any():
        return Estimate(value=None, n=view.n, reason="only one class occurs")
    area, variance = delong(view.truth, view.score)
    low, high = logit_interval(area, variance) or (None, None)
    method = "DeLong, logit scale" if low is not None else ""
    return Estimate(value=area, low=low, high=high, method=method, n=view.n)
