"""Intervals against numbers computed by others."""

import numpy as np
import pytest

from medimg_cli.core.intervals import bootstrap_counts, delong, logit_interval, wilson

# R package binom, binom.confint(method = "wilson"), as statsmodels' tests quote it.
WILSON = [
    (18, 20, 0.6989663547715128, 0.972133518786232),
    (4, 20, 0.0806576625797981, 0.4160174322518935),
    (4, 200, 0.00780442641634947, 0.05028708690582643),
    (190, 200, 0.910421851861224, 0.972617354399236),
    (1, 30, 0.00590859, 0.16670391),
    (0, 30, 0.0, 0.11351339),
    (30, 30, 0.8864866, 1.0),
]
TRUTH = np.array([True] * 8 + [False] * 12)
_OF_POSITIVES = (0.91, 0.83, 0.77, 0.64, 0.58, 0.52, 0.40, 0.33)
_OF_NEGATIVES = (0.70, 0.52, 0.47, 0.41, 0.36, 0.30, 0.28, 0.22, 0.19, 0.15, 0.11, 0.05)
SCORE = np.array([*_OF_POSITIVES, *_OF_NEGATIVES])


@pytest.mark.parametrize(("count", "n", "low", "high"), WILSON)
def test_wilson_agrees_with_r(count: int, n: int, low: float, high: float) -> None:
    assert wilson(count, n) == pytest.approx((low, high), abs=5e-8)


def test_delong_agrees_with_a_hand_computed_case() -> None:
    area, variance = delong(TRUTH, SCORE)
    assert area == pytest.approx(0.8697916666666666, abs=1e-15)
    assert variance == pytest.approx(0.006412478580447332, abs=1e-15)


def test_the_interval_of_an_area_stays_below_one() -> None:
    # The plain interval of this case ends at 1.027.
    interval = logit_interval(*delong(TRUTH, SCORE))
    assert interval is not None
    low, high = interval
    assert 0.6 < low < 0.8697 < high < 1.0


def test_a_perfect_area_has_no_interval_on_this_scale() -> None:
    assert (
        logit_interval(*delong(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))) is None
    )


def test_the_bootstrap_of_a_proportion_is_close_to_wilson() -> None:
    table = np.array([[80, 20], [10, 90]])
    found = bootstrap_counts(table, lambda tables: tables[:, 1, 1] / tables[:, 1].sum(axis=1))
    assert found == pytest.approx(wilson(90, 100), abs=0.03)


def test_the_bootstrap_gives_the_same_interval_twice() -> None:
    table = np.array([[8, 2], [1, 9]])
    first, second = (bootstrap_counts(table, lambda tables: tables[:, 0, 0]) for _ in range(2))
    assert first == second


def test_a_statistic_that_is_mostly_undefined_has_no_interval() -> None:
    assert bootstrap_counts(np.array([[1, 0], [0, 1]]), lambda tables: np.full(len(tables), np.nan)) is None


def test_a_table_without_an_error_has_no_bootstrap_interval() -> None:
    table = np.array([[30, 0], [0, 31]])
    assert bootstrap_counts(table, lambda tables: tables[:, 1, 1] / tables[:, 1].sum(axis=1)) is None
