"""Intervals against numbers computed by others."""

import numpy as np
import pytest

from medimg_cli.statistics.areas import auroc_influence, delong
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import (
    area_interval,
    clopper_pearson,
    gap_interval,
    logit_interval,
    mean_interval,
    quantile_of,
    ratio_interval,
    score_interval,
    wilson,
)

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
# The same package, binom.confint(method = "exact").
EXACT = [
    (18, 20, 0.6830172859809176, 0.9876514728297052),
    (4, 20, 0.05733399705003284, 0.436614002996668),
    (4, 200, 0.005475565879556443, 0.05041360908989634),
    (190, 200, 0.9099724622986486, 0.975765834527891),
    (1, 30, 0.0008435709, 0.17216946),
    (0, 30, 0.0, 0.11570331),
    (30, 30, 0.8842967, 1.0),
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


def test_a_perfect_area_has_no_interval_on_the_logit_scale() -> None:
    assert (
        logit_interval(*delong(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))) is None
    )


def test_the_exact_interval_agrees_with_r() -> None:
    for count, n, low, high in EXACT:
        assert clopper_pearson(count, n) == pytest.approx((low, high), abs=5e-8)


def test_independent_images_have_the_variance_of_delong_up_to_its_correction() -> None:
    generator = np.random.default_rng(5)
    truth = generator.random(600) < 0.4
    score = generator.normal(truth.astype(float), 1)
    area, variance = delong(truth, score, np.arange(600))
    assert (area, variance) == pytest.approx(delong(truth, score), rel=1e-12)


def test_copies_of_every_image_leave_the_variance_by_patient_as_it_was() -> None:
    generator = np.random.default_rng(6)
    truth = generator.random(300) < 0.4
    score = generator.normal(truth.astype(float), 1)
    area, variance = delong(truth, score)
    tripled = delong(np.tile(truth, 3), np.tile(score, 3), np.tile(np.arange(300), 3))
    assert tripled == pytest.approx((area, variance), rel=1e-9)
    assert delong(np.tile(truth, 3), np.tile(score, 3))[1] == pytest.approx(variance / 3, rel=0.02)


def test_what_images_add_to_the_error_of_an_area_makes_its_variance() -> None:
    generator = np.random.default_rng(7)
    truth = generator.random(2000) < 0.3
    score = generator.normal(truth.astype(float), 1)
    _, influence = auroc_influence(truth, score)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    assert influence @ influence == pytest.approx(delong(truth, score)[1], rel=0.01)


def test_an_interval_from_few_patients_is_wider_by_student_s_quantile() -> None:
    # logit 0.9 = 2.197225; half a width is 0.03 / 0.09 times t(0.975, 4) = 2.776445, or 1.959964 of the normal one.
    few = logit_interval(0.9, 0.03**2, quantile=quantile_of(5))
    assert few == pytest.approx((0.781041, 0.957820), abs=1e-6)
    plain = logit_interval(0.9, 0.03**2)
    assert plain == pytest.approx((0.824032, 0.945347), abs=1e-6)
    assert area_interval(0.9, 0.03**2, 50, units=5) == few


def test_an_area_of_one_has_a_lower_bound_that_rises_with_the_images() -> None:
    (few, high), (many, _) = (area_interval(1.0, 0.0, size) for size in (10, 100))
    assert high == 1.0 and 0 < few < many < 1
    assert (few, high) == wilson(20, 20)
    assert area_interval(0.0, 0.0, 10) == wilson(0, 20)


def test_a_variance_from_hardly_any_pair_in_the_wrong_order_is_not_believed() -> None:
    low, _ = area_interval(0.9999, 1e-12, 50)
    assert low < 0.999


@pytest.mark.parametrize(("count", "n"), [(0, 30), (18, 20), (30, 30)])
def test_the_score_interval_of_a_proportion_is_wilsons(count: int, n: int) -> None:
    share = count / n
    assert score_interval(share, share * (1 - share) / n, n) == pytest.approx(wilson(count, n), abs=1e-15)


def test_a_mean_of_terms_that_are_not_skewed_has_students_interval() -> None:
    by_unit = np.array([[-1.0], [1.0]] * 10) / 20
    (low,), (high,) = mean_interval(np.array([0.5]), by_unit)
    # t(0.975, 19) = 2.093024, and a standard deviation of 1 (ddof 1: 1.025978) over the root of 20.
    assert (low, high) == pytest.approx((0.5 - 0.480169, 0.5 + 0.480169), abs=1e-5)


def test_a_mean_of_terms_with_a_long_tail_reaches_far_towards_it() -> None:
    by_unit = np.append(np.full(29, -1.0), 29.0)[:, None] / 300
    (low,), (high,) = mean_interval(np.array([0.1]), by_unit)
    assert high - 0.1 > 2 * (0.1 - low) > 0


def test_gaps_that_are_all_noise_may_be_no_gaps_at_all() -> None:
    low, high = gap_interval(np.array([0.02, -0.03, 0.025]), np.full(3, 0.03**2))
    assert low == 0.0 and high >= 0.075
    low, high = gap_interval(np.array([0.2, -0.3]), np.full(2, 0.01**2))
    # Far from 0 the sum of gaps is a sum of two normal ones: 0.5 plus or minus 1.96 times 0.01 times the root of 2.
    assert (low, high) == pytest.approx((0.5 - 0.02772, 0.5 + 0.02772), abs=2e-4)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize("variance", [0.0, 1e-9, 0.01, 0.25])
def test_gaps_far_below_their_error_have_an_interval_too(gap: float, variance: float) -> None:
    low, high = gap_interval(np.array([gap]), np.array([variance]))
    assert 0 <= low <= gap <= high <= gap + 3 * np.sqrt(variance) + 1e-5
    if variance >= 0.01:  # what such errors make on average of no gap at all is far above what is seen
        assert low == 0.0
        assert high > np.sqrt(variance)


def test_a_ratio_to_nothing_has_a_lower_bound_alone() -> None:
    over = Estimate(value=0.9, low=0.8, high=0.95, n=50)
    low, high = ratio_interval(over, Estimate(value=0.0, low=0.0, high=0.1, n=50))
    assert high == np.inf and 8 < low < 9.5
    low, high = ratio_interval(over, Estimate(value=0.1, low=0.05, high=0.18, n=50))
    assert low < 9 < high
