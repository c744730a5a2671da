"""Confidence intervals (95 %) for the numbers of an evaluation."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm
from scipy.stats import t as student

from medimg_cli.statistics.estimate import Estimate

LEVEL = 0.95
REPLICATES = 2000
Z = float(norm.ppf(0.5 + LEVEL / 2))
ROUNDING = 1e-20
"""A variance below this, of a figure in 0..1, is rounding noise: 1e-10 is the error of a sum of many terms."""
INDEPENDENT = "from both intervals (Newcombe)"
CORRELATED = "from both intervals and what they share (Newcombe, paired)"


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return the Wilson score interval of the proportion `count / n`, in 0..1.

    Wilson EB. J Am Stat Assoc 1927;22:209-212.

    >>> [round(edge, 4) for edge in wilson(18, 20)]
    [0.699, 0.9721]
    """
    return score_interval(count / n, count / n * (1 - count / n) / n, n)


def score_interval(
    value: float, variance: float, size: float, *, units: int | None = None, most: float | None = None
) -> tuple[float, float]:
    """Return Wilson's interval of any figure in 0..1 of which a variance is known, as of so many independent images.

    These are as many as would give a share of that value that variance, but no more than there are: Korn EL, Graubard BI.
    Surv Methodol 1998;24:193-201; the best near 0 and 1 of seven in Dean N, Pagano M. J Surv Stat Methodol 2015;3:484-503.
    Of a proportion of `size` independent images it is Wilson's own, and at 0 and 1 one-sided. How often it holds the
    truth: `tests/benchmarks/bench_coverage.py`.

    Args:
        variance: of `value`; not looked at at 0 and 1.
        size: independent images, or patients, that a figure of 0 or 1 rests on.
        units: patients it was measured from, at least 2: Student's distribution then takes the place of the normal one.
        most: images; None = `size`.
    """
    quantile = quantile_of(units)
    if 0 < value < 1 and variance > 0:
        size = min(most or size, value * (1 - value) / variance)
    square = quantile * quantile
    middle = value + square / (2 * size)
    half = quantile * math.sqrt(value * (1 - value) / size + square / (4 * size * size))
    low, high = (middle - half) / (1 + square / size), (middle + half) / (1 + square / size)
    return (0.0 if value <= 0 else low), (1.0 if value >= 1 else high)


def quantile_of(units: int | None) -> float:
    """Return how many standard errors an interval reaches: Student's quantile of so many patients, None = normal."""
    return Z if units is None else float(student.ppf(0.5 + LEVEL / 2, units - 1))


def mean_interval(
    value: NDArray[np.float64], by_unit: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends (F,) of the intervals of F means whose terms are skewed, as losses are.

    Student's interval after the cubic transformation that takes the skewness away: Hall P. J R Stat Soc B
    1992;54:221-228. The plain one holds a Brier score of 60 images in 85 of 100 sets, simulated, this one in 94.

    Args:
        value: (F,), the means.
        by_unit: (U, F), what each image or patient adds to their error, U at least 2; the columns sum to 0.
    """
    units = len(by_unit)
    square = by_unit * by_unit
    deviation, third = np.sqrt(square.mean(axis=0)), (square * by_unit).mean(axis=0)
    skewness = np.divide(third, deviation**3, out=np.zeros_like(deviation), where=deviation > 0)
    skewness = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    root = math.sqrt(units)

    def moved(quantile: float) -> NDArray[np.float64]:
        inner = 1 + skewness * (quantile / root - skewness / (6 * units))
        back: NDArray[np.float64] = (np.cbrt(inner) - 1) * 3 * root / skewness
        return back

    error = deviation * root * math.sqrt(units / (units - 1))
    ends = value - error * moved(quantile_of(units)), value - error * moved(-quantile_of(units))
    return np.minimum(*ends), np.maximum(*ends)


def gap_interval(gaps: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float]:
    """Return the interval of a sum of absolute gaps, each of which is known with an error.

    An error makes a gap larger on average, never smaller, so the sum of what is seen lies above that of what is true.
    Here all gaps are shrunk or stretched alike, k times, until the sum that normal errors of this variance then make on
    average (of the folded normal distribution) is as far from the sum seen as 95 % of draws are.

    Args:
        gaps: (B,), as seen.
        variance: (B,), of each.
    """
    seen, spread = float(np.abs(gaps).sum()), np.sqrt(np.maximum(variance, ROUNDING))
    share = np.abs(gaps) / seen if seen > 0 else np.full(len(gaps), 1 / len(gaps))

    def excess(total: float, side: int) -> float:
        gap = total * share
        ratio = gap / spread
        mean = spread * math.sqrt(2 / math.pi) * np.exp(-ratio * ratio / 2) + gap * (1 - 2 * norm.cdf(-ratio))
        return (
            seen
            - float(mean.sum())
            - side * Z * math.sqrt(float((gap * gap + variance - mean * mean).sum().clip(0)))
        )

    # Beyond this the sum seen is too small by more than an error can explain: no mean lies below its gap.
    farthest = seen + (Z + 1) * float(np.sqrt((spread * spread).sum()))
    low, high = (
        0.0 if excess(0.0, side) <= 0 else float(brentq(excess, 0.0, farthest, args=(side,)))
        for side in (1, -1)
    )
    return min(low, seen), max(high, seen)


def logit_interval(value: float, variance: float, *, quantile: float = Z) -> tuple[float, float] | None:
    """Return the interval of an area or a proportion on the logit scale; None at 0 and 1, or without variance."""
    if variance <= ROUNDING or not 0 < value < 1:
        return None
    middle = math.log(value / (1 - value))
    half = quantile * math.sqrt(variance) / (value * (1 - value))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def area_interval(
    value: float, variance: float, size: float, *, units: int | None = None
) -> tuple[float, float]:
    """Return the interval of an area: on the logit scale, at 0 and 1 the one-sided score interval.

    A variance is not believed to be smaller than eight times `size` images would make it: near 1 it comes from few pairs
    in the wrong order. At 1 the area counts as the share of twice `size`, below which a sample without such a pair is
    rarer than 1 in 40.

    Args:
        variance: of `value`.
        size: independent images, or patients, as Hanley and McNeil's variance has it at 1.
        units: the fewest patients, or images, on one side: of Student's distribution; None = the normal one.
    """
    if value in (0.0, 1.0):
        return score_interval(value, 0.0, 2 * size)
    least = value * (1 - value) / (8 * size)
    found = logit_interval(value, max(variance, least), quantile=quantile_of(units))
    return found or (value, value)


def clopper_pearson(count: int, n: int, confidence: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of the proportion `count / n`, in 0..1: at least the stated coverage, often more.

    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413.

    >>> [round(edge, 4) for edge in clopper_pearson(18, 20)]
    [0.683, 0.9877]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def difference(higher: Estimate, lower: Estimate, *, correlation: float = 0.0) -> Estimate:
    """Return `higher` − `lower` with an interval made of the distances from each value to its own limits.

    Of two Wilson intervals this is Newcombe's score interval (Newcombe RG. Stat Med 1998;17:873-890, method 10), and
    it takes any other pair of intervals as well, so the difference stays inside −1..1 as they do. Where both figures
    share patients, the correlation of their errors narrows or widens it (Newcombe RG. Stat Med 1998;17:2635-2650).

    Args:
        higher, lower: two figures in 0..1, both with a value.
        correlation: of their errors, −1..1; 0 = of different patients.

    Returns:
        No interval, and the reason, where one of the two has none.
    """
    assert higher.value is not None and lower.value is not None
    value, n = higher.value - lower.value, higher.n + lower.n
    if higher.low is None or higher.high is None or lower.low is None or lower.high is None:
        return Estimate(value=value, n=n, reason=higher.reason or lower.reason)
    below = _together(higher.value - higher.low, lower.high - lower.value, correlation)
    above = _together(higher.high - higher.value, lower.value - lower.low, correlation)
    method = CORRELATED if correlation else INDEPENDENT
    return Estimate(value=value, low=value - below, high=value + above, method=method, n=n)


def ratio_interval(over: Estimate, under: Estimate, *, correlation: float = 0.0) -> tuple[float, float]:
    """Return the interval of `over` / `under`, 0..inf, from the interval of each; both have one, not both are 0.

    Donner A, Zou GY. Stat Methods Med Res 2012;21:347-359 (MOVER-R).

    >>> a, b = (Estimate(value=v, low=l, high=h, n=9) for v, l, h in ((0.9, 0.8, 0.95), (0.0, 0.0, 0.1)))
    >>> [round(edge, 3) for edge in ratio_interval(a, b)]
    [8.944, inf]
    """
    first, low, high = (float(each or 0.0) for each in (over.value, over.low, over.high))
    second, least, most = (float(each or 0.0) for each in (under.value, under.low, under.high))

    def end(own: float, other: float, sign: int) -> float:
        middle = first * second - correlation * (first - own) * (other - second)
        inner = middle * middle - own * other * (2 * first - own) * (2 * second - other)
        below = other * (2 * second - other)
        return max(0.0, (middle + sign * math.sqrt(max(0.0, inner))) / below) if below else 0.0

    return end(low, most, -1), math.inf if least <= 0 else end(high, least, 1)


def _together(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 + second**2 - 2 * correlation * first * second))
