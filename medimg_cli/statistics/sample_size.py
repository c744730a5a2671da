"""How many cases a test set needs for an interval of a wanted precision, and what more training data would bring.

Precision-based planning: Buderer NMF. Acad Emerg Med 1996;3:895-900 (with the exact binomial interval in place of the
normal one); Riley RD et al. Stat Med 2021;40:4230-4251 (c-statistic); learning curves as inverse power laws:
Figueroa RL et al. BMC Med Inform Decis Mak 2012;12:8.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import beta, binom

from medimg_cli.statistics.intervals import clopper_pearson

MOST_CASES = 1_000_000
_SAW_TEETH = 30
_DRAWS = 500


def cases_for_width(share: float, width: float, confidence: float = 0.95) -> int | None:
    """Return how many cases give an expected exact interval of at most `width`, from high to low; None beyond `MOST_CASES`.

    Args:
        share: the recall (or specificity) that is expected, 0..1.
        width: 0..1; Buderer's precision is half of it.
    """

    def is_enough(n: int) -> bool:
        low, high = clopper_pearson(round(share * n), n, confidence)
        return high - low <= width

    return _least(is_enough)


def cases_for_lower_bound(
    share: float, bound: float, confidence: float = 0.95, assurance: float = 0.8
) -> int | None:
    """Return how many cases let the exact interval's lower end reach `bound` with probability `assurance`.

    Args:
        share: the recall that is expected, 0..1; None is returned where it is not above the bound, and beyond `MOST_CASES`.
    """
    if share <= bound:
        return None

    def is_enough(n: int) -> bool:
        counts = np.arange(n + 1)
        lows = np.where(
            counts > 0, beta.ppf((1 - confidence) / 2, np.maximum(counts, 1), n - counts + 1), 0.0
        )
        fewest = int(np.argmax(lows >= bound)) if (lows >= bound).any() else n + 1
        return bool(binom.sf(fewest - 1, n, share) >= assurance)

    return _least(is_enough)


def cases_for_auroc(auroc: float, prevalence: float, width: float, confidence: float = 0.95) -> int | None:
    """Return how many cases, positive and negative, give an AUROC an interval of at most `width` (Riley 2021, eq. 11).

    None beyond `MOST_CASES`.

    Args:
        prevalence: share of the positives among them, 0..1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def is_enough(n: int) -> bool:
        half = n / 2 - 1
        spread = 1 + half * (1 - auroc) / (2 - auroc) + half * auroc / (1 + auroc)
        variance = auroc * (1 - auroc) * spread / (n * n * prevalence * (1 - prevalence))
        return 2 * z * math.sqrt(variance) <= width

    return _least(is_enough)


def design_effect(images_per_patient: float, icc: float) -> float:
    """Return by how much several images of a patient inflate the variance of a proportion (Donner & Klar 2000).

    Args:
        icc: intra-patient correlation of right and wrong answers, 0..1.
    """
    return 1 + max(images_per_patient - 1, 0) * icc


def _least(is_enough: Callable[[int], bool]) -> int | None:
    """Return the smallest n from which on `is_enough` holds, over the saw teeth of discrete counts; None beyond `MOST_CASES`."""
    high = 2
    while not is_enough(high):
        high *= 2
        if high > MOST_CASES:
            return None
    low = high // 2
    while low < high:  # the largest tooth is near: a search by halves finds one, the steps below the last one
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    n = high
    failures = [n + step for step in range(1, _SAW_TEETH) if not is_enough(n + step)]
    return failures[-1] + 1 if failures else n


@dataclass(frozen=True)
class Forecast:
    """What a figure is expected to be with more training data.

    Args:
        patients: training patients it is forecast for.
        value, low, high: the figure and its 95 % interval, 0..1.
    """

    patients: int
    value: float
    low: float
    high: float


def forecast(
    patients: NDArray[np.float64], values: NDArray[np.float64], wanted: list[int], *, seed: int = 0
) -> list[Forecast]:
    """Return a figure at training sizes beyond those measured, by the power law a - b * n ** -c.

    The interval redraws whole learning curves (folds), so it holds the spread of data and draws, not that of the form.

    Args:
        patients: (S,) sizes that were measured.
        values: (K, S) the figure of K folds at these sizes, 0..1.
        wanted: sizes to forecast.
    """
    generator = np.random.default_rng(seed)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(patients))
    weights = np.maximum(spread, 0.002)
    whole = power_law(patients, values.mean(axis=0), weights)
    drawn = [
        power_law(patients, values[generator.integers(0, len(values), len(values))].mean(axis=0), weights)
        for _ in range(_DRAWS)
    ]
    found = []
    for n in wanted:
        ends = np.quantile([law(n) for law in drawn], (0.025, 0.975))
        value = whole(n)
        found.append(Forecast(n, value, min(float(ends[0]), value), max(float(ends[1]), value)))
    return found


def power_law(
    sizes: NDArray[np.float64], values: NDArray[np.float64], spread: NDArray[np.float64]
) -> Callable[[float], float]:
    """Return the law a - b * n ** -c fitted by weighted least squares; constant where it cannot be fitted."""

    def law(n: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
        fitted: NDArray[np.float64] = a - b * (n / sizes[0]) ** -c
        return fitted

    top, gain = float(values[-1]), float(max(values[-1] - values[0], 1e-4))
    limits = ([0.0, 0.0, 0.05], [1.0, 1.0, 2.0])
    try:
        best, _ = curve_fit(
            law, sizes, values, p0=(min(top + gain / 4, 1.0), gain, 0.5), sigma=spread, bounds=limits
        )
    except RuntimeError:  # it found no minimum
        return lambda _: top
    return lambda n: float(np.clip(law(np.array([n], dtype=np.float64), *best)[0], 0.0, 1.0))
