"""Calibration slope and intercept: against closed forms, scikit-learn, and what they must leave alone."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medimg_cli.statistics.calibration_slope import Fitted, intercept_of, logit, slope_of
from medimg_cli.statistics.probabilities import sigmoid

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(-0.4, 1.8, 400)
SCORE = sigmoid(X)
TRUTH = GENERATOR.random(400) < sigmoid(0.5 * X + 0.3)

# Of 40 images at probability 1/4 ten have the disease, of 40 at 3/4 thirty-two: a two-by-two table.
TWO = np.repeat([0.25, 0.75], 40)
ILL = np.r_[np.arange(40) < 10, np.arange(40) < 32]


def fitted(found: Fitted | str) -> Fitted:
    assert isinstance(found, Fitted)
    return found


def test_the_slope_over_two_probabilities_is_the_log_odds_ratio_of_their_table() -> None:
    # Woolf: its variance is the sum of the reciprocal cells; the two logits lie 2 ln 3 apart.
    found, apart = fitted(slope_of(ILL, TWO)), 2 * np.log(3)
    assert found.value == pytest.approx((np.log(32 / 8) - np.log(10 / 30)) / apart, abs=1e-12)
    assert found.variance == pytest.approx((1 / 10 + 1 / 30 + 1 / 32 + 1 / 8) / apart**2, abs=1e-12)
    assert found.design_effect is None


def test_the_intercept_over_one_probability_is_a_difference_of_logits() -> None:
    truth = np.arange(50) < 20
    found = fitted(intercept_of(truth, np.full(50, 0.25)))
    assert found.value == pytest.approx(np.log(20 / 30) - np.log(1 / 3), abs=1e-12)
    assert found.variance == pytest.approx(1 / 20 + 1 / 30, abs=1e-12)


def test_the_slope_is_that_of_scikit_learns_unpenalised_regression() -> None:
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X[:, None], TRUTH)
    assert fitted(slope_of(TRUTH, SCORE)).value == pytest.approx(reference.coef_[0, 0], abs=1e-5)


def test_the_intercept_makes_the_mean_probability_right() -> None:
    shift = fitted(intercept_of(TRUTH, SCORE)).value
    assert sigmoid(X + shift).mean() == pytest.approx(TRUTH.mean(), abs=1e-10)


def test_logits_times_a_factor_have_a_slope_divided_by_it() -> None:
    once, thrice = fitted(slope_of(TRUTH, SCORE)), fitted(slope_of(TRUTH, sigmoid(3 * X)))
    assert thrice.value == pytest.approx(once.value / 3, rel=1e-8)
    assert thrice.variance == pytest.approx(once.variance / 9, rel=1e-6)


def test_copies_of_each_image_in_one_patient_leave_the_variance_as_it_was() -> None:
    # In a saturated model the sandwich of single images is the inverse information.
    patient = np.tile(np.arange(80), 3)
    found = fitted(slope_of(np.tile(ILL, 3), np.tile(TWO, 3), patient))
    assert found.value == pytest.approx(fitted(slope_of(ILL, TWO)).value, abs=1e-12)
    assert found.variance == pytest.approx(fitted(slope_of(ILL, TWO)).variance * 80 / 79, rel=1e-9)
    assert found.design_effect == pytest.approx(3 * 80 / 79, rel=1e-9)


@pytest.mark.parametrize(
    ("truth", "score", "said"),
    [
        ([True, True], [0.2, 0.9], "only one class"),
        ([True, False, True], [0.5, 0.5, 0.5], "all probabilities are the same"),
        ([False, False, True, True], [0.1, 0.4, 0.4, 0.9], "tells the outcomes apart"),
        ([True, True, False, False], [0.1, 0.4, 0.4, 0.9], "tells the outcomes apart"),
    ],
)
def test_where_no_slope_can_be_fitted_the_reason_is_given(
    truth: list[bool], score: list[float], said: str
) -> None:
    found = slope_of(np.array(truth), np.array(score))
    assert isinstance(found, str) and said in found


def test_an_intercept_is_there_where_outcomes_are_told_apart() -> None:
    found = fitted(intercept_of(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.6, 0.9])))
    assert found.value == pytest.approx(0.0, abs=1e-10)
    assert isinstance(intercept_of(np.array([True]), np.array([0.5])), str)


def test_certain_probabilities_that_are_wrong_still_have_coefficients() -> None:
    score = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.5])
    truth = np.array([False, True, True, False, True, False])
    assert fitted(slope_of(truth, score)).value == pytest.approx(0.0, abs=1e-8)
    assert np.isfinite(logit(score)).all()


@pytest.mark.slow
@pytest.mark.parametrize("images_each", [1, 4])
def test_intervals_hold_the_true_slope_19_times_in_20(images_each: int) -> None:
    """1,000 cohorts of 400 images, of 400 or of 100 patients whose images share logit and half of the chance."""
    generator = np.random.default_rng(17)
    held = {"slope": 0, "intercept": 0}
    patient = np.repeat(np.arange(400 // images_each), images_each)
    for _ in range(1000):
        x = np.repeat(generator.normal(0, 1.5, 400 // images_each), images_each)
        own, shared = generator.random(400), np.repeat(generator.random(400 // images_each), images_each)
        truth = np.where(generator.random(400) < 0.5, own, shared) < sigmoid(x)
        units = patient if images_each > 1 else None
        for name, of, true in (("slope", slope_of, 1.0), ("intercept", intercept_of, 0.0)):
            found = fitted(of(truth, sigmoid(x), units))
            held[name] += abs(found.value - true) < 1.959964 * np.sqrt(found.variance)
    assert 930 <= held["slope"] <= 970 and 930 <= held["intercept"] <= 970, held
