"""Two models on the same images: tests of their differences."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, norm

from medimg_cli.statistics.intervals import ROUNDING

_EXACT_BELOW = 25
_MOST_FLIPPED = 500


def mcnemar(only_first: int, only_second: int) -> tuple[float, str]:
    """Return the two-sided p of two models being right equally often, and the name of the test.

    Only images that one of the two decided rightly say anything: exact (binomial) below 25 of them, else chi-square
    with continuity correction (McNemar Q. Psychometrika 1947;12:153-157; Edwards AL. Psychometrika 1948;13:185-187).

    >>> mcnemar(10, 10)
    (1.0, 'McNemar, exact')
    """
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    if discordant < _EXACT_BELOW:
        return min(1.0, 2 * float(binom.cdf(fewer, discordant, 0.5))), "McNemar, exact"
    distance = max(0.0, abs(only_first - only_second) - 1.0)
    return float(chi2.sf(distance**2 / discordant, 1)), "McNemar, chi-square"


def mcnemar_by_patient(gains: NDArray[np.int64]) -> tuple[float, str]:
    """Return the same where patients have several images, which are alike: whole patients change sides, not images.

    Were both models equally good, a patient's gain might as well have gone to the other one. Exact: over all ways of
    turning the patients' gains round, up to 500 discordant images' worth of gain; of patients with one image each it is
    McNemar's exact test. Beyond, the square of their sum over the sum of their squares is chi-square (Obuchowski NA. Stat
    Med 1998;17:1495-1507). Between models that are equal it finds a difference in about 5 of 100 sets or fewer,
    simulated with 20 to 200 patients, where a z test with the spread of patients finds one in up to 8.

    Args:
        gains: (P,), images of a patient that only the first model decided rightly, minus those that only the second did.

    >>> mcnemar_by_patient(np.array([2, 0, 1, 1]))
    (0.25, 'McNemar by patient, exact')
    """
    sizes = np.abs(gains[gains != 0])
    most, apart = int(sizes.sum()), abs(int(gains.sum()))
    if most > _MOST_FLIPPED:
        return float(chi2.sf(apart**2 / float(sizes @ sizes), 1)), "McNemar by patient, chi-square"
    chances = np.zeros(2 * most + 1)  # of each sum, -most..most
    chances[most] = 1.0
    for size in sizes.tolist():
        turned = np.zeros_like(chances)
        turned[size:] += chances[:-size] / 2
        turned[:-size] += chances[size:] / 2
        chances = turned
    beyond = np.abs(np.arange(-most, most + 1)) >= apart
    return min(1.0, float(chances[beyond].sum())), "McNemar by patient, exact"


def two_sided(difference: float, variance: float) -> float | None:
    """Return the two-sided p of a difference with this variance being 0; None where nothing varies."""
    if variance <= ROUNDING:
        return None
    return 2 * float(norm.sf(abs(difference) / math.sqrt(variance)))


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return how the errors of two figures go together, −1..1, from what each patient (P,) adds to both; 0 of no error."""
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > ROUNDING else 0.0


def paired_correlation(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return how alike two models' decisions on the same independent images (N,) are, −1..1, held back a little.

    The product of the diagonal minus that of the others is brought half an image a row nearer to 0, as Newcombe's paired
    interval wants it (Newcombe RG. Stat Med 1998;17:2635-2650, method 10); 0 where one of them decided all alike.
    """
    n, both = len(first), int((first & second).sum())
    of_first, of_second = int(first.sum()), int(second.sum())
    product = both * (n - of_first - of_second + both) - (of_first - both) * (of_second - both)
    margins = of_first * (n - of_first) * of_second * (n - of_second)
    if margins == 0 or 0 <= product <= n / 2:
        return 0.0
    return (product - n / 2 if product > 0 else product) / math.sqrt(margins)


def holm(tests: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p values adjusted for how many there are; None stays None.

    Holm S. Scand J Stat 1979;6:65-70.

    >>> holm([0.01, None, 0.04, 0.03])
    (0.03, None, 0.06, 0.06)
    """
    order = sorted((p, place) for place, p in enumerate(tests) if p is not None)
    adjusted: list[float | None] = [None] * len(tests)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = highest
    return tuple(adjusted)
