"""Brier score."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, of_mean


@METRICS.register("brier")
def brier(view: OneVsRest) -> Estimate:
    """Return the mean squared distance of probability and outcome (0 or 1); 0 is best, 1 worst.

    Brier GW. Mon Weather Rev 1950;78:1-3, here not summed over the two classes, which would double it.
    """
    return of_mean(view, (view.score - view.truth) ** 2)
