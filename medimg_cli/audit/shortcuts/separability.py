"""How well one trait alone predicts a class: cross-validated by patient, with an interval."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import norm, rankdata

from medimg_cli.dataset.splits import deal_evenly
from medimg_cli.statistics.intervals import logit_interval, wilson

UNKNOWN = "not known"
OTHER = "others"
_QUANTILES = 10
_MOST_CATEGORIES = 30
# A value this frequent is a setting of some machine or program and gets a bin of its own.
_COMMON_SHARE = 0.03
_FEW_IMAGES = 5


@dataclass(frozen=True)
class Binned:
    """The bin of every image.

    Args:
        codes: (N,) int64, positions in `names`.
        names: what each bin is called.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """The images of one bin, or on one side of a threshold.

    Args:
        name: what they have in common.
        members: (N,) which images.
        share: of them that belong to the class, 0..1.
    """

    name: str
    members: NDArray[np.bool_]
    share: float

    @property
    def images(self) -> int:
        return int(self.members.sum())


def bin_texts(values: Sequence[str]) -> Binned:
    """Return each frequent text as a bin, the rare ones as one together, "" as `UNKNOWN`."""
    counts = Counter(values)
    least = max(_FEW_IMAGES, round(0.002 * len(values)))
    frequent = [value for value, count in counts.most_common(_MOST_CATEGORIES) if value and count >= least]
    names = (UNKNOWN, OTHER, *frequent)
    place = {"": 0} | {value: number + 2 for number, value in enumerate(frequent)}
    return Binned(np.array([place.get(value, 1) for value in values], dtype=np.int64), names)


def bin_numbers(values: NDArray[np.float64]) -> Binned:
    """Return frequent values as bins of their own and ten quantiles of the others; NaN is `UNKNOWN`.

    Args:
        values: (N,).
    """
    known = np.isfinite(values)
    distinct, counts = np.unique(values[known], return_counts=True)
    least = max(_FEW_IMAGES, _COMMON_SHARE * len(values))
    common = distinct[counts >= least]
    rest = known & ~np.isin(values, common)
    edges = (
        np.unique(np.quantile(values[rest], np.linspace(0, 1, _QUANTILES + 1))) if rest.any() else common[:0]
    )
    codes = np.zeros(len(values), dtype=np.int64)
    in_common = known & ~rest
    codes[in_common] = 1 + np.searchsorted(common, values[in_common])
    inner = edges[1:-1]
    codes[rest] = 1 + len(common) + np.searchsorted(inner, values[rest], side="left")
    ranges = [f"{shown(low)} to {shown(high)}" for low, high in pairwise(edges)] or [
        shown(edge) for edge in edges
    ]
    return Binned(codes, (UNKNOWN, *(shown(value) for value in common), *ranges))


def telling_parts(binned: Binned, truth: NDArray[np.bool_]) -> tuple[Part, Part]:
    """Return the two bins that speak most for and most against a class, the more surprising one first.

    A bin weighs by how far its share of the class is from the share everywhere, times the root of its size:
    three images that all agree say less than three hundred of which nearly all do.

    Args:
        truth: (N,) which images belong to the class; at least two bins are in use.
    """
    count = len(binned.names)
    images = np.bincount(binned.codes, minlength=count)
    hits = np.bincount(binned.codes, weights=truth, minlength=count)
    used = np.flatnonzero(images)
    weights = (hits[used] / images[used] - truth.mean()) * np.sqrt(images[used])
    parts = [
        Part(binned.names[code], binned.codes == code, float(hits[code] / images[code]))
        for code in (used[np.argmax(weights)], used[np.argmin(weights)])
    ]
    first = int(np.abs(weights).argmax() != weights.argmax())
    return parts[first], parts[1 - first]


def two_sides(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[Part, Part]:
    """Return the images up to the threshold that parts a class best (Youden's J), and those above it.

    Args:
        values: (N,) finite, at least two different ones.
        truth: (N,), both values occur.
    """
    order = np.argsort(values, kind="stable")
    ordered, hits = values[order], truth[order]
    ends = np.flatnonzero(np.diff(ordered))  # a threshold stands between two different values
    caught = np.cumsum(hits)[ends] / hits.sum()
    alarms = np.cumsum(~hits)[ends] / (~hits).sum()
    best = ends[np.abs(caught - alarms).argmax()]
    edge = float(ordered[best])
    below = values <= edge
    return (
        Part(f"up to {shown(edge)}", below, float(truth[below].mean())),
        Part(f"above {shown(edge)}", ~below, float(truth[~below].mean())),
    )


def shown(value: float) -> str:
    """Return a number as people write it.

    >>> shown(1024.0), shown(0.12345), shown(2019.0)
    ('1024', '0.123', '2019')
    """
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


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
