"""Brier score."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest, of_mean
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import bootstrap_of, percentiles


@METRICS.register("brier")
def brier(view: OneVsRest) -> Estimate:
    """Return the mean squared distance of probability and outcome (0 or 1); 0 is best, 1 worst.

    Brier GW. Mon Weather Rev 1950;78:1-3, here not summed over the two classes, which would double it.
    """
    return of_mean(view, (view.score - view.truth) ** 2)


_SMALLEST = float(np.finfo(np.float32).eps)


@METRICS.register("log_loss")
def log_loss(view: OneVsRest) -> Estimate:
    """Return the mean of -ln(probability given to what was true); probabilities are kept off 0 and 1."""
    score = np.clip(view.score, _SMALLEST, 1 - _SMALLEST)
    return of_mean(view, -np.log(np.where(view.truth, score, 1 - score)))


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


def equal_mass(score: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin (N,) of each score, bins holding as many images each as equal scores, which stay together, allow.

    Nixon J et al. CVPR Workshops 2019, arXiv:1904.01685.
    """
    if not len(score):
        return np.zeros(0, dtype=np.int64)
    last = np.ceil(np.arange(1, bins) * len(score) / bins).astype(np.int64) - 1
    edges = np.sort(score)[last.clip(min=0)]
    return np.searchsorted(edges, score, side="left").astype(np.int64)


def ece_over(view: OneVsRest, bin_of: NDArray[np.int64], bins: int) -> Estimate:
    """Return the calibration error over given bins with its interval.

    Args:
        bin_of: (N,), 0..bins − 1.
    """
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    gaps = in_bins(view.score - view.truth, bin_of, bins)
    sums = view.sampling.sums(np.column_stack([gaps, np.ones(view.n)]))
    return ece_of_sums(gaps.sum(axis=0), sums[:, :bins], sums[:, bins], view)


def in_bins(values: NDArray[np.float64], bin_of: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Return (N, bins), each value (N,) in the column of its bin and 0 elsewhere."""
    spread = np.zeros((len(values), bins))
    spread[np.arange(len(values)), bin_of] = values
    return spread


def ece_of_sums(
    gaps: NDArray[np.float64], drawn: NDArray[np.float64], images: NDArray[np.float64], view: OneVsRest
) -> Estimate:
    """Return the calibration error with its interval, from sums of probability less outcome.

    A gap has no sign, so drawing images again makes it larger on average than it is in the images themselves: the
    bootstrap interval is moved back by that much.

    Args:
        gaps: (bins,), summed over the images of each bin.
        drawn: (B, bins), the same in each replicate, which has `images` (B,).
        view: whose images they are, at least one.
    """
    value = float(np.abs(gaps).sum() / view.n)
    replicates = np.abs(drawn).sum(axis=1) / images
    between = percentiles(replicates)
    if between is None:
        return Estimate(value=value, n=view.n)
    bias = float(replicates.mean()) - value
    low, high = (min(max(edge - bias, 0.0), 1.0) for edge in between)
    method = bootstrap_of(view.sampling.unit, len(replicates)) + ", moved back by its bias"
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=view.n)
