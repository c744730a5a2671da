"""Brier score, in its two-class form."""

import numpy as np

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest


@METRICS.register("brier")
def brier(view: OneVsRest) -> Estimate:
    """Return the mean squared distance of probability and outcome (0 or 1); 0 is best, 1 worst.

    Brier GW. Mon Weather Rev 1950;78:1-3, here not summed over the two classes, which would double it.
    """
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    return Estimate(value=float(np.mean((view.score - view.truth) ** 2)), n=view.n)
