"""Expected calibration error."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.core.sampling import bootstrap_of, percentiles
from medimg_cli.metrics import METRICS, OneVsRest

BINS = 15


@METRICS.register("ece")
def ece(view: OneVsRest) -> Estimate:
    """Return the mean gap of mean probability and observed share over 15 equal-width bins, by their size.

    Naeini MP, Cooper G, Hauskrecht M. AAAI 2015. The value depends on the number of bins.
    """
    return ece_over(view, equal_width(view.score), BINS)


def equal_width(score: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin (N,) of each score; bins are closed on the right: an edge belongs to the bin below it."""
    return np.clip(np.ceil(score * bins).astype(np.int64) - 1, 0, bins - 1)


def ece_over(view: OneVsRest, bin_of: NDArray[np.int64], bins: int) -> Estimate:
    """Return the calibration error over given bins with its interval.

    A gap has no sign, so drawing images again makes it larger on average than it is in the images themselves: the
    bootstrap interval is moved back by that much.

    Args:
        bin_of: (N,), 0..bins − 1.
    """
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    gap = view.score - view.truth
    by_bin = np.zeros((view.n, bins + 1))
    by_bin[np.arange(view.n), bin_of] = gap
    by_bin[:, bins] = 1.0
    value = float(np.abs(by_bin[:, :bins].sum(axis=0)).sum() / view.n)
    sums = view.sampling.sums(by_bin)
    replicates = np.abs(sums[:, :bins]).sum(axis=1) / sums[:, bins]
    between = percentiles(replicates)
    if between is None:
        return Estimate(value=value, n=view.n)
    bias = float(replicates.mean()) - value
    low, high = (min(max(edge - bias, 0.0), 1.0) for edge in between)
    method = bootstrap_of(view.sampling.unit, len(replicates)) + ", moved back by its bias"
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=view.n)
