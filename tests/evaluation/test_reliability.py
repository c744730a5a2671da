"""Calibration of one class: errors that others computed, bins, and patients."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from medimg_cli.evaluation.analyses.calibration import class_calibration
from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.metrics.probability import BINS, ece_over, equal_mass, equal_width
from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import Sampling

GENERATOR = np.random.default_rng(21)
SCORE = GENERATOR.beta(0.8, 1.2, 400)
TRUTH = GENERATOR.random(400) < SCORE**1.4
VIEW = OneVsRest(TRUTH, SCORE, SCORE >= 0.5)
FOUR_EACH = Sampling([f"p{index % 100}" for index in range(400)], 400)
CLUSTERED = OneVsRest(TRUTH, SCORE, SCORE >= 0.5, FOUR_EACH)

# MetricsReloaded's test of calibration metrics, after figure SN2.24 of "Understanding metric-related pitfalls".
PITFALL = np.array([0.22, 0.48, 0.49, 0.96, 0.55, 0.64, 0.78, 0.82, 0.34, 0.87])
PITFALL_TRUTH = np.array([0, 1, 0, 0, 1, 1, 1, 1, 1, 0]) == 1
# The documentation of torchmetrics, BinaryCalibrationError.
TORCH = np.array([0.25, 0.25, 0.55, 0.75, 0.75])
TORCH_TRUTH = np.array([0, 0, 1, 1, 1]) == 1


@pytest.mark.parametrize(
    ("score", "truth", "bins", "error"),
    [
        (PITFALL, PITFALL_TRUTH, 2, 0.109),
        (PITFALL, PITFALL_TRUTH, 5, 0.315),
        (PITFALL, PITFALL_TRUTH, 10, 0.359),
        (TORCH, TORCH_TRUTH, 2, 0.29),
    ],
)
def test_the_error_is_that_of_other_software(
    score: np.ndarray, truth: np.ndarray, bins: int, error: float
) -> None:
    view = OneVsRest(truth, score, score >= 0.5)
    assert ece_over(view, equal_width(score, bins), bins).value == pytest.approx(error, abs=1e-12)


def test_bins_are_those_of_scikit_learn() -> None:
    found = class_calibration(VIEW).bins
    observed, mean = calibration_curve(TRUTH, SCORE, n_bins=BINS)
    assert [each.mean for each in found] == pytest.approx(mean)
    assert [each.observed.value for each in found] == pytest.approx(observed)
    assert sum(each.observed.n for each in found) == 400
    first = found[0].observed
    assert (first.low, first.high) == wilson(first.count or 0, first.n)


def test_a_probability_on_an_edge_belongs_to_the_bin_below() -> None:
    score = np.array([0.2, 0.2, 0.4])
    found = class_calibration(OneVsRest(np.array([True, False, True]), score, score > 0.5)).bins
    assert [(each.low, each.high) for each in found] == [(2 / 15, 3 / 15), (5 / 15, 6 / 15)]


def test_bins_of_equal_mass_hold_as_many_images_each_and_keep_equal_scores_together() -> None:
    assert np.ptp(np.bincount(equal_mass(SCORE), minlength=BINS)) <= 1
    tied = np.repeat([0.9, 0.1, 0.5], [10, 70, 20])
    assert len(np.unique(equal_mass(tied))) == 3
    assert np.unique(equal_mass(tied)[tied == 0.1]).tolist() == [0]


def test_errors_and_brier_score_are_the_metrics_own() -> None:
    for view in (VIEW, CLUSTERED):
        found = class_calibration(view)
        for name, estimate in (("ece", found.ece), ("brier", found.brier)):
            expected = METRICS.get(name)(view)
            assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
                (expected.value, expected.low, expected.high), abs=1e-12
            )
            assert estimate.method == expected.method
        mass = ece_over(view, equal_mass(SCORE), BINS)
        assert found.ece_equal_mass.value == pytest.approx(mass.value)
        assert found.ece_equal_mass.high == pytest.approx(mass.high)


def test_patients_are_drawn_with_all_their_images() -> None:
    copies = Sampling([f"p{index}" for index in range(400)] * 3, 1200)
    tripled = OneVsRest(np.tile(TRUTH, 3), np.tile(SCORE, 3), np.tile(SCORE >= 0.5, 3), copies)
    once, thrice = class_calibration(VIEW), class_calibration(tripled)
    assert thrice.slope.value == pytest.approx(once.slope.value)
    assert thrice.slope.method == "Wald, sandwich variance by patient"
    for alone, copied in zip(once.bins, thrice.bins, strict=True):
        of_one, of_three = alone.observed, copied.observed
        assert of_three.value == pytest.approx(of_one.value)
        assert of_three.n == 3 * of_one.n
        assert of_three.method == f"Wilson by patient, {of_one.n} patients"
        if of_one.count not in (0, of_one.n):
            assert of_three.design_effect == pytest.approx(3 * of_one.n / (of_one.n - 1))


def test_a_class_that_nobody_judged_or_that_always_occurs_has_reasons_instead_of_numbers() -> None:
    nobody = class_calibration(OneVsRest(np.zeros(0, bool), np.zeros(0), np.zeros(0, bool)))
    assert nobody.bins == () and nobody.ece.reason == nobody.slope.reason == "no image"
    always = class_calibration(OneVsRest(np.ones(4, bool), np.full(4, 0.9), np.ones(4, bool)))
    assert always.ece.value == pytest.approx(0.1)
    assert (always.slope.value, always.slope.reason) == (None, "only one class occurs")
