"""How well a class is told by one trait alone: cross-validated by patient, with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import norm, rankdata

from medimg_cli.audit.shortcuts.binning import Binned
from medimg_cli.dataset.stratify import deal_evenly
from medimg_cli.statistics.intervals import logit_interval, wilson

FOLDS = 5
# Images of a bin count beside this many that are as mixed as all: a bin of one image proves nothing.
_PRIOR_IMAGES = 4.0
_RIDGE = 1.0
_NEWTON_STEPS = 25


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve with its 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float

    def beats_chance(self, tests: int) -> bool:
        """Return whether the area lies above 0.5 at the level 0.05 shared by so many tests (Bonferroni).

        The standard error is read off the interval on the logit scale; an area of 1 has none there, and its lower
        end decides alone.
        """
        if not 0 < self.value < 1:
            return self.low > 0.5
        middle = logit(self.value)
        error = (middle - logit(self.low)) / norm.ppf(0.975)
        return bool(middle > error * norm.ppf(1 - 0.025 / tests))


def folds_by_patient(
    labels: Sequence[str], patients: Sequence[str], *, seed: int, multi_label: bool = False
) -> NDArray[np.int64]:
    """Return the fold of each image (N,), 0..`FOLDS`-1: a patient in one fold, classes spread evenly."""
    placed = [""] * len(labels)
    shares = {str(fold): 1.0 for fold in range(FOLDS)}
    deal_evenly(placed, labels, patients, fractions=shares, seed=seed, multi_label=multi_label)
    return np.array(placed).astype(np.int64)


def evidence(binned: Binned, truth: NDArray[np.bool_], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what an image's bin says for a class (N,), learned on the other folds: log-odds over the base rate.

    The share of the class in the bin is drawn towards the share among all; a bin the other folds never saw
    says 0. As the base rate is taken off, a trait that tells nothing scores alike in every fold.

    Args:
        truth: (N,) which images belong to the class; every fold leaves some of both behind.
    """
    bins = len(binned.names)
    place = folds * bins + binned.codes
    images = np.bincount(place, minlength=FOLDS * bins).reshape(FOLDS, bins).astype(np.float64)
    hits = np.bincount(place, weights=truth, minlength=FOLDS * bins).reshape(FOLDS, bins)
    images, hits = images.sum(axis=0) - images, hits.sum(axis=0) - hits  # per fold: all but its own
    base = hits.sum(axis=1, keepdims=True) / images.sum(axis=1, keepdims=True)
    share = (hits + _PRIOR_IMAGES * base) / (images + _PRIOR_IMAGES)
    odds = np.log(share / (1 - share)) - np.log(base / (1 - base))
    found: NDArray[np.float64] = np.where(images > 0, odds, 0.0)[folds, binned.codes]
    return found


def area_of(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve, ties counted half."""
    hits = int(truth.sum())
    ranks = rankdata(score)
    return float((ranks[truth].sum() - hits * (hits + 1) / 2) / (hits * (len(truth) - hits)))


def area_by_patient(
    truth: NDArray[np.bool_], score: NDArray[np.float64], patients: NDArray[np.int64]
) -> Area:
    """Return the area with an interval that takes patients, not images, as independent.

    Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567-578, on the logit
    scale. With one image a patient this is DeLong's variance. Where nothing at all is confused the method has
    no width; then the lower end is Wilson's for "all of n", n the patients of the rarer side.

    Args:
        truth: (N,), both values occur.
        score: (N,), higher means more likely of the class.
        patients: (N,) numbers from 0.
    """
    count = int(patients.max()) + 1
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    wins = (ranks[:m] - rankdata(positive)) / n
    losses = 1.0 - (ranks[m:] - rankdata(negative)) / m
    value = float(wins.mean())
    of_positive = _sums(patients[truth], wins - value, count)
    of_negative = _sums(patients[~truth], losses - value, count)
    with_positive = len(np.unique(patients[truth]))
    with_negative = len(np.unique(patients[~truth]))
    variance = (
        _spread(of_positive, of_positive, with_positive) / m**2
        + _spread(of_negative, of_negative, with_negative) / n**2
        + 2 * _spread(of_positive, of_negative, count) / (m * n)
    )
    between = logit_interval(value, variance)
    if between is None:
        rarer = max(1, min(with_positive, with_negative))
        edge = wilson(rarer, rarer)[0]
        between = (edge, 1.0) if value > 0.5 else (0.0, 1.0 - edge)
    return Area(value, *between)


def _sums(patients: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the sum over each patient's images (count,)."""
    return np.bincount(patients, weights=values, minlength=count).astype(np.float64)


def _spread(left: NDArray[np.float64], right: NDArray[np.float64], clusters: int) -> float:
    """Return the sum of products of the clusters' deviations, widened for their number."""
    return float(left @ right) * (clusters / (clusters - 1) if clusters > 1 else 1.0)


def area_together(traits: Sequence[Binned], truth: NDArray[np.bool_], folds: NDArray[np.int64]) -> float:
    """Return the out-of-fold area of a logistic regression on the evidence of several traits.

    What the regression learns from has its evidence from the other learning folds alone: were the held fold's
    labels in it, traits that tell nothing would add up to a false 0.6.
    """
    score = np.zeros(len(truth))
    for fold in range(FOLDS):
        held = folds == fold
        learning = [
            evidence(Binned(trait.codes[~held], trait.names), truth[~held], folds[~held]) for trait in traits
        ]
        inputs = np.column_stack([np.ones(int((~held).sum())), *learning])
        weights = _logistic(inputs, truth[~held].astype(np.float64))
        tested = [evidence(trait, truth, folds)[held] for trait in traits]
        score[held] = np.column_stack([np.ones(int(held.sum())), *tested]) @ weights
    return area_of(truth, score)


def _logistic(inputs: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (T + 1,) of a ridge logistic regression by Newton's method, the intercept first."""
    penalty = np.full(inputs.shape[1], _RIDGE)
    penalty[0] = 1e-6
    weights = np.zeros(inputs.shape[1])
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (truth - probability) - penalty * weights
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights += step
        if float(np.abs(step).max()) < 1e-3:
            break
    return weights
