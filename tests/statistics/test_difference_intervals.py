"""Differences from two intervals, against Newcombe's published examples."""

import pytest

from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import CORRELATED, INDEPENDENT, difference, wilson


def share(count: int, n: int) -> Estimate:
    low, high = wilson(count, n)
    return Estimate(value=count / n, low=low, high=high, n=n, count=count)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe RG. Stat Med 1998;17:873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_two_wilson_intervals_give_newcombes_interval_of_the_difference(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = difference(share(*first), share(*second))
    assert [found.low, found.high] == pytest.approx([low, high], abs=6e-5)
    assert (found.n, found.method) == (first[1] + second[1], INDEPENDENT)


def test_figures_whose_errors_go_together_differ_by_less() -> None:
    apart, alike = (difference(share(56, 70), share(48, 80), correlation=r) for r in (0.0, 0.6))
    assert apart.low is not None and alike.low is not None and alike.high is not None
    assert apart.low < alike.low and alike.high < (apart.high or 0)
    assert alike.method == CORRELATED


def test_without_an_interval_of_both_there_is_none_of_the_difference() -> None:
    found = difference(Estimate(value=1.0, n=20), share(8, 10))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.method) == (None, "")
