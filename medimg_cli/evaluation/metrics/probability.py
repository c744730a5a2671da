"""Scores of probabilities, image by image, that only the true chances make best on average, and calibration error."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest, of_mean
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import ROUNDING, gap_interval

_SMALLEST = float(np.finfo(np.float32).eps)
_SMALLEST_OF_LABELS = 1e-12  # that of statistics.probabilities.log_loss_of, whose mean over images this is

ONE_OF_TWO = (
    "mean squared gap of a class's probability and its outcome (0 or 1), from 0 to 1; summed over both classes it would "
    "be twice that"
)
SUMMED = (
    "squared gaps of probability and outcome (0 or 1), summed over the classes, mean over images, from 0 to 2"
)


@METRICS.register("brier")
def brier(view: OneVsRest) -> Estimate:
    """Return the mean squared distance of probability and outcome (0 or 1); 0 is best, 1 worst.

    Brier GW. Mon Weather Rev 1950;78:1-3, here not summed over the two classes, which would double it.
    """
    return of_mean(view, (view.score - view.truth) ** 2, most=1.0)


@METRICS.register("log_loss")
def log_loss(view: OneVsRest) -> Estimate:
    """Return the mean of -ln(probability given to what was true); probabilities are kept off 0 and 1."""
    score = np.clip(view.score, _SMALLEST, 1 - _SMALLEST)
    return of_mean(view, -np.log(np.where(view.truth, score, 1 - score)))


BINS = 15
ECE_BINS = f"{BINS} bins of equal width, closed on the right; empty bins count nothing"


@METRICS.register("ece")
def ece(view: OneVsRest) -> Estimate:
    """Return the mean gap of mean probability and observed share over 15 equal-width bins, by their size.

    Naeini MP, Cooper G, Hauskrecht M. AAAI 2015. The value depends on the bins: `ECE_BINS` says which these are.
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

    An error makes a gap larger on average: `gap_interval` takes that out. The variance of a bin's gap is what images, or
    patients, show of it and what the probabilities themselves say of their outcomes, the mean of both.
    """
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    gaps = in_bins((view.score - view.truth) / view.n, bin_of, bins)
    seen, sampling = gaps.sum(axis=0), view.sampling
    value, why = float(np.abs(seen).sum()), sampling.nothing_from(sampling.units)
    if why:
        return Estimate(value=value, n=view.n, reason=why)
    shown = (sampling.by_unit(gaps) ** 2).sum(axis=0)
    alike = max(
        1.0, sampling.variance(gaps.sum(axis=1)) / max(float((gaps**2).sum()), ROUNDING)
    )  # design effect
    predicted = alike * np.bincount(bin_of, weights=view.score * (1 - view.score), minlength=bins) / view.n**2
    low, high = gap_interval(seen, (shown + predicted) / 2)
    method = f"folded normal, by {sampling.unit}, moved back by its bias"
    return Estimate(value=value, low=low, high=min(high, 1.0), method=method, n=view.n)


def in_bins(values: NDArray[np.float64], bin_of: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Return (N, bins), each value (N,) in the column of its bin and 0 elsewhere."""
    spread = np.zeros((len(values), bins))
    spread[np.arange(len(values)), bin_of] = values
    return spread


def log_losses(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return −ln of the probability given to what was true (N,), which is kept off 0.

    Args:
        probabilities: (N, C).
        truth: (N,) class indices.
    """
    likelihood = probabilities[np.arange(len(truth)), truth]
    return -np.log(np.maximum(likelihood, _SMALLEST))


def squared_gaps(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return squared gaps of probability and outcome (N,): `ONE_OF_TWO` for two classes, else `SUMMED`.

    Brier GW. Mon Weather Rev 1950;78:1-3 summed over the classes; of two classes usage is to take one.
    """
    classes = probabilities.shape[1]
    summed: NDArray[np.float64] = ((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1)
    return summed / 2 if classes == 2 else summed


def label_log_losses(
    probabilities: NDArray[np.float64], marks: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return of each image (N,) the sum of −ln(probability of what was true) over its judged labels, and their number.

    Args:
        probabilities: (N, C).
        marks: (N, C) of 1, 0 and NaN where nobody judged.
    """
    known = ~np.isnan(marks)
    likelihood = np.where(marks == 1, probabilities, 1 - probabilities)
    losses = np.where(known, -np.log(np.maximum(likelihood, _SMALLEST_OF_LABELS)), 0.0)
    return losses.sum(axis=1), known.sum(axis=1).astype(np.float64)
