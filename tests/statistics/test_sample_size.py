"""Sizes of test sets and forecasts of learning curves, against published figures and brute force."""

import numpy as np
import pytest
from scipy.stats import binom

from medimg_cli.statistics.intervals import clopper_pearson
from medimg_cli.statistics.sample_size import (
    cases_for_auroc,
    cases_for_lower_bound,
    cases_for_width,
    design_effect,
    forecast,
)


def test_the_c_statistic_of_riley_2021_needs_the_published_number() -> None:
    # Prevalence .018, C = .8, width .1: 4252, as pmvalsampsize and the paper's software print it.
    assert cases_for_auroc(0.8, 0.018, 0.1) == 4252


def test_an_exact_interval_needs_somewhat_more_than_the_normal_one_of_buderer() -> None:
    # Recall .90 within ±.10 needs 34.6 by the normal interval: 35 in Buderer 1996.
    normal = 1.96**2 * 0.9 * 0.1 / 0.1**2
    exact = cases_for_width(0.9, 0.2)
    assert exact is not None and normal < exact < 1.5 * normal


@pytest.mark.parametrize(("share", "width"), [(0.9, 0.2), (0.95, 0.1), (0.5, 0.15), (0.99, 0.05)])
def test_from_the_answer_on_every_size_is_enough_and_the_one_before_is_not(
    share: float, width: float
) -> None:
    def is_enough(n: int) -> bool:
        low, high = clopper_pearson(round(share * n), n)
        return high - low <= width

    n = cases_for_width(share, width)
    assert n is not None and not is_enough(n - 1)
    assert all(is_enough(each) for each in range(n, n + 60))


def test_without_a_miss_72_cases_exclude_a_recall_below_95_percent() -> None:
    assert cases_for_lower_bound(1 - 1e-12, 0.95) == 72
    assert clopper_pearson(72, 72)[0] >= 0.95 > clopper_pearson(71, 71)[0]


@pytest.mark.parametrize(("share", "bound", "assurance"), [(0.95, 0.9, 0.8), (0.9, 0.75, 0.95)])
def test_the_bound_is_reached_as_often_as_was_asked_for(share: float, bound: float, assurance: float) -> None:
    n = cases_for_lower_bound(share, bound, assurance=assurance)
    assert n is not None
    counts = np.arange(n + 1)
    reached = np.array([clopper_pearson(int(count), n)[0] >= bound for count in counts])
    assert binom.pmf(counts, n, share)[reached].sum() >= assurance


def test_a_bound_at_the_expected_recall_is_never_reached() -> None:
    assert cases_for_lower_bound(0.9, 0.9) is None


def test_images_of_one_patient_count_less() -> None:
    assert design_effect(1, 0.5) == 1
    assert design_effect(3, 0.25) == pytest.approx(1.5)


@pytest.mark.parametrize("rate", [0.3, pytest.param(0.6, marks=pytest.mark.slow), 1.0])
def test_a_power_law_is_forecast_at_four_times_the_patients(rate: float) -> None:
    generator = np.random.default_rng(1)
    sizes = np.array([40.0, 80.0, 160.0, 240.0, 320.0])

    def law(n: float) -> float:
        return float(0.96 - 0.2 * (n / 40) ** -rate)

    values = np.array([law(n) for n in sizes]) + generator.normal(0, 0.004, (5, 5))
    (found,) = forecast(sizes, values, [1280])
    assert found.value == pytest.approx(law(1280), abs=0.02)
    assert found.low <= found.value <= found.high


def test_a_flat_curve_promises_nothing() -> None:
    (found,) = forecast(np.array([10.0, 20.0, 40.0, 80.0]), np.full((5, 4), 0.7), [320])
    assert found.value == pytest.approx(0.7, abs=0.01)
