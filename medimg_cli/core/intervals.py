"""Confidence intervals (95 %) for the numbers of an evaluation."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

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
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    area = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    by_positive = (ranks[:m] - rankdata(positive)) / n
    by_negative = 1.0 - (ranks[m:] - rankdata(negative)) / m
    variance = sum(
        float(np.var(values, ddof=1)) / len(values)
        for values in (by_positive, by_negative)
        if len(values) > 1
    )
    return float(area), variance


def logit_interval(area: float, variance: float) -> tuple[float, float] | None:
    """Return the interval of an area on the logit scale, which stays inside 0..1; None at the ends.

    At an area of exactly 0 or 1, or with no variance, the scale gives none.
    """
    if variance <= 0 or not 0 < area < 1:
        return None
    middle = math.log(area / (1 - area))
    half = _Z * math.sqrt(variance) / (area * (1 - area))
    return _expit(middle - half), _expit(middle + half)


def bootstrap_counts(
    counts: NDArray[np.int64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of a table of counts, 2,000 replicates, fixed seed.

    Drawing tables from the multinomial with the observed shares is the same as resampling independent
    images, and far faster.

    Args:
        counts: a confusion matrix (K, K).
        statistic: (B, K, K) → (B,), NaN where undefined.

    Returns:
        None where most replicates are undefined, or all are the same.
    """
    total = int(counts.sum())
    shares = (counts / total).ravel()
    tables = np.random.default_rng(0).multinomial(total, shares, size=REPLICATES).astype(np.float64)
    values = statistic(tables.reshape(REPLICATES, *counts.shape))
    values = values[np.isfinite(values)]
    if len(values) < REPLICATES // 2:
        return None
    low, high = np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    # Without a single error every replicate is perfect: that says nothing about how wide the interval is.
    return (float(low), float(high)) if low < high else None


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))
