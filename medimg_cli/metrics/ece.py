"""Expected calibration error."""

import numpy as np

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest

BINS = 15


@METRICS.register("ece")
def ece(view: OneVsRest) -> Estimate:
    """Return the mean gap of mean probability and observed share over 15 equal-width bins, by their size.

    Naeini MP, Cooper G, Hauskrecht M. AAAI 2015. The value depends on the number of bins.
    """
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    # Right-closed bins: a probability on an edge belongs to the bin below it.
    bins = np.clip(np.ceil(view.score * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gap = np.bincount(bins, weights=view.score - view.truth, minlength=BINS)
    return Estimate(value=float(np.abs(gap).sum() / view.n), n=view.n)
