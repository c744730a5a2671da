"""Confidence intervals (95 %) for the numbers of an evaluation."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, rankdata
from scipy.stats import t as student

LEVEL = 0.95
REPLICATES = 2000
_Z = float(norm.ppf(0.5 + LEVEL / 2))


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return the Wilson score interval of the proportion `count / n`, in 0..1.

    Wilson EB. J Am Stat Assoc 1927;22:209-212.

    >>> [round(edge, 4) for edge in wilson(18, 20)]
    [0.699, 0.9721]
    """
    share, z2 = count / n, _Z * _Z
    middle = share + z2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    return (0.0 if count == 0 else low), (1.0 if count == n else high)


def delong(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance.

    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845; by midranks as Sun X, Xu W.
    IEEE Signal Process Lett 2014;21:1389-1393.

    Args:
        truth: (N,), True where the reference standard says positive; both values occur.
        score: (N,), higher means more likely positive.
    """
    area, by_positive, by_negative = _placements(truth, score)
    return area, _independent_variance(by_positive, by_negative)


def paired_delong(
    truth: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the difference of two areas of the same independent images, first − second, and its variance.

    Args:
        truth, first, second: (N,), as `delong` has them.
    """
    (area, *of_first), (other, *of_second) = _placements(truth, first), _placements(truth, second)
    by_positive, by_negative = of_first[0] - of_second[0], of_first[1] - of_second[1]
    return area - other, _independent_variance(by_positive, by_negative)


def _independent_variance(by_positive: NDArray[np.float64], by_negative: NDArray[np.float64]) -> float:
    return sum(
        float(np.var(values, ddof=1)) / len(values)
        for values in (by_positive, by_negative)
        if len(values) > 1
    )


def _placements(
    truth: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the area, the share of negatives below each positive, and of positives above each negative."""
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    area = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    by_positive = (ranks[:m] - rankdata(positive)) / n
    by_negative = 1.0 - (ranks[m:] - rankdata(negative)) / m
    return float(area), by_positive, by_negative


def logit_interval(value: float, variance: float, *, units: int | None = None) -> tuple[float, float] | None:
    """Return the interval of an area or a proportion on the logit scale, which stays inside 0..1; None at the ends.

    At exactly 0 or 1, or with no variance, the scale gives none.

    Args:
        variance: of `value`.
        units: how many patients it was measured from, at least 2: Student's distribution then takes the place of the
            normal one, which is too narrow for few. None = the normal one.
    """
    if variance <= 0 or not 0 < value < 1:
        return None
    quantile = _Z if units is None else float(student.ppf(0.5 + LEVEL / 2, units - 1))
    middle = math.log(value / (1 - value))
    half = quantile * math.sqrt(variance) / (value * (1 - value))
    return _expit(middle - half), _expit(middle + half)


def clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """Return the exact interval of the proportion `count / n`, in 0..1: at least 95 % coverage, often more.

    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413.

    >>> [round(edge, 4) for edge in clopper_pearson(18, 20)]
    [0.683, 0.9877]
    """
    tail = (1 - LEVEL) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def clustered_auroc(
    truth: NDArray[np.bool_], score: NDArray[np.float64], unit_of: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance where images of one patient are alike.

    DeLong's placements, summed by patient: Obuchowski NA. Biometrics 1997;53:567-578.

    Args:
        truth, score: (N,), as `delong` has them.
        unit_of: (N,), the patient of each image, 0..P − 1.
    """
    area, by_positive, by_negative = _placements(truth, score)
    return area, _clustered_variance(truth, area, by_positive, by_negative, unit_of)


def paired_clustered_auroc(
    truth: NDArray[np.bool_],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    unit_of: NDArray[np.int64],
) -> tuple[float, float]:
    """Return the difference of two areas of the same images, first − second, and its variance by patient.

    Args:
        truth, first, second: (N,), as `delong` has them.
        unit_of: (N,), as `clustered_auroc` has it.
    """
    (area, *of_first), (other, *of_second) = _placements(truth, first), _placements(truth, second)
    by_positive, by_negative = of_first[0] - of_second[0], of_first[1] - of_second[1]
    return area - other, _clustered_variance(truth, area - other, by_positive, by_negative, unit_of)


def _clustered_variance(
    truth: NDArray[np.bool_],
    area: float,
    by_positive: NDArray[np.float64],
    by_negative: NDArray[np.float64],
    unit_of: NDArray[np.int64],
) -> float:
    m, n, units = len(by_positive), len(by_negative), int(unit_of.max()) + 1
    at_positive = np.bincount(unit_of[truth], weights=by_positive - area, minlength=units)
    at_negative = np.bincount(unit_of[~truth], weights=by_negative - area, minlength=units)
    with_positive = len(np.unique(unit_of[truth]))
    with_negative = len(np.unique(unit_of[~truth]))
    variance = (
        _unbiased(with_positive) * float(at_positive @ at_positive) / m**2
        + _unbiased(with_negative) * float(at_negative @ at_negative) / n**2
        + 2 * _unbiased(units) * float(at_positive @ at_negative) / (m * n)
    )
    return max(variance, 0.0)


def auroc_influence(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each image (N,) adds to the error of the area under the ROC curve; their sum is 0.

    The variance of a sum, or mean, of several areas of the same images is the sum of squares of the summed influence,
    image by image or patient by patient.
    """
    area, by_positive, by_negative = _placements(truth, score)
    influence = np.empty(len(truth))
    influence[truth] = (by_positive - area) / len(by_positive)
    influence[~truth] = (by_negative - area) / len(by_negative)
    return influence


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else 1.0


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))
