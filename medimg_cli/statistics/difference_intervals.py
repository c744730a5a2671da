"""The difference of two figures, from the interval of each."""

import math

from medimg_cli.statistics.estimate import Estimate

INDEPENDENT = "from both intervals (Newcombe)"
CORRELATED = "from both intervals and what they share (Newcombe, paired)"


def difference(higher: Estimate, lower: Estimate, *, correlation: float = 0.0) -> Estimate:
    """Return `higher` − `lower` with an interval made of the distances from each value to its own limits.

    Of two Wilson intervals this is Newcombe's score interval (Newcombe RG. Stat Med 1998;17:873-890, method 10), and
    it takes any other pair of intervals as well, so the difference stays inside −1..1 as they do. Where both figures
    share patients, the correlation of their errors narrows or widens it (Newcombe RG. Stat Med 1998;17:2635-2650).

    Args:
        higher, lower: two figures in 0..1, both with a value.
        correlation: of their errors, −1..1; 0 = of different patients.

    Returns:
        No interval where one of the two has none.
    """
    assert higher.value is not None and lower.value is not None
    value, n = higher.value - lower.value, higher.n + lower.n
    if higher.low is None or higher.high is None or lower.low is None or lower.high is None:
        return Estimate(value=value, n=n)
    below = _together(higher.value - higher.low, lower.high - lower.value, correlation)
    above = _together(higher.high - higher.value, lower.value - lower.low, correlation)
    method = CORRELATED if correlation else INDEPENDENT
    return Estimate(value=value, low=value - below, high=value + above, method=method, n=n)


def _together(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 + second**2 - 2 * correlation * first * second))
