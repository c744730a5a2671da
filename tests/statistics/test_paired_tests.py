"""Tests of differences, against numbers computed by others."""

import numpy as np
import pytest
from scipy.stats import chi2

from medimg_cli.evaluation.metrics import proportion
from medimg_cli.statistics.areas import area_variance, auroc_influence, delong
from medimg_cli.statistics.intervals import difference
from medimg_cli.statistics.paired_tests import (
    correlation,
    holm,
    mcnemar,
    mcnemar_by_patient,
    paired_correlation,
    two_sided,
)

TRUTH = np.array([True] * 8 + [False] * 12)
FIRST_OF_POSITIVES = (0.91, 0.83, 0.77, 0.64, 0.58, 0.52, 0.40, 0.33)
FIRST_OF_NEGATIVES = (0.70, 0.52, 0.47, 0.41, 0.36, 0.30, 0.28, 0.22, 0.19, 0.15, 0.11, 0.05)
SECOND_OF_POSITIVES = (0.80, 0.85, 0.60, 0.66, 0.45, 0.50, 0.35, 0.20)
SECOND_OF_NEGATIVES = (0.75, 0.55, 0.50, 0.30, 0.44, 0.33, 0.25, 0.27, 0.10, 0.18, 0.12, 0.08)
FIRST = np.array([*FIRST_OF_POSITIVES, *FIRST_OF_NEGATIVES])
SECOND = np.array([*SECOND_OF_POSITIVES, *SECOND_OF_NEGATIVES])
# Exact: Vassar's page and R, as statsmodels' tests quote them.
EXACT = [(10, 10, 1.0), (2, 8, 0.109375), (0, 6, 0.03125)]
# R mcnemar.test with continuity correction, from the same source.
CORRECTED = [
    (121, 59, 5.450095e-06),
    (70, 59, 0.3786151),
    (80, 59, 0.08981434),
    (25, 15, 0.15472892348537437),
]


def paired(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, unit_of: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the difference of two areas and its variance."""
    (area, of_first), (other, of_second) = (auroc_influence(truth, score) for score in (first, second))
    return area - other, area_variance(truth, of_first - of_second, unit_of)


@pytest.mark.parametrize(("first", "second", "p"), EXACT)
def test_few_discordant_images_are_tested_exactly(first: int, second: int, p: float) -> None:
    found, test = mcnemar(first, second)
    assert found == pytest.approx(p, abs=1e-9)
    assert test == "McNemar, exact"


@pytest.mark.parametrize(("first", "second", "p"), CORRECTED)
def test_many_discordant_images_are_tested_as_r_does(first: int, second: int, p: float) -> None:
    found, test = mcnemar(first, second)
    assert found == pytest.approx(p, rel=1e-6)
    assert test == "McNemar, chi-square"


def test_the_order_of_the_models_does_not_matter() -> None:
    assert mcnemar(3, 17) == mcnemar(17, 3)
    assert mcnemar(0, 0)[0] == 1.0


def test_the_paired_test_of_two_areas_agrees_with_a_case_computed_by_hand() -> None:
    gap, variance = paired(TRUTH, FIRST, SECOND)
    assert gap == pytest.approx(0.8697916666666666 - 0.796875, abs=1e-15)
    # S11 + S22 - 2 S12 of the covariance matrix of both.
    assert variance == pytest.approx(0.006412478580447332 + 0.010966951884920636 - 2 * 0.007759655708874458)
    assert gap / variance**0.5 == pytest.approx(1.6906606203887653, rel=1e-12)
    assert two_sided(gap, variance) == pytest.approx(0.09090163951783457, rel=1e-12)


def test_a_model_does_not_differ_from_itself() -> None:
    gap, variance = paired(TRUTH, FIRST, FIRST)
    assert (gap, two_sided(gap, variance)) == (0.0, None)


def test_copies_of_every_image_do_not_make_a_difference_surer_by_patient() -> None:
    once = paired(TRUTH, FIRST, SECOND)
    patient = np.tile(np.arange(20), 3)
    tripled = paired(np.tile(TRUTH, 3), np.tile(FIRST, 3), np.tile(SECOND, 3), patient)
    assert tripled == pytest.approx(once, rel=1e-9)
    assert delong(np.tile(TRUTH, 3), np.tile(FIRST, 3))[1] < delong(TRUTH, FIRST)[1] / 2


def test_holm_keeps_the_order_and_never_passes_one() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, None, 0.8]) == (1.0, None, 1.0)
    assert holm([]) == ()


def test_errors_that_do_not_vary_do_not_go_together() -> None:
    assert correlation(np.zeros(5), np.arange(5.0)) == 0.0
    assert correlation(np.array([1.0, -1.0]), np.array([-2.0, 2.0])) == pytest.approx(-1.0)


# Both right, only the first, only the second, neither → the interval of the difference: Newcombe's own table of 1998,
# and R package contingencytables for the complete responses of Cavo et al. (Blood 2012;120:9-19).
PAIRED = [(36, 12, 2, 0, 0.0569, 0.3404), (59, 6, 16, 80, -0.1186, -0.0046)]


@pytest.mark.parametrize(("both", "first", "second", "neither", "low", "high"), PAIRED)
def test_the_interval_of_a_paired_difference_is_newcombes(
    both: int, first: int, second: int, neither: int, low: float, high: float
) -> None:
    n = both + first + second + neither
    right = np.repeat([True, True, False, False], [both, first, second, neither])
    also = np.repeat([True, False, True, False], [both, first, second, neither])
    shares = [proportion(int(each.sum()), n, undefined="") for each in (right, also)]
    found = difference(*shares, correlation=paired_correlation(right, also))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("first", "second", "p"), EXACT)
def test_patients_with_one_image_each_are_tested_as_images(first: int, second: int, p: float) -> None:
    gains = np.repeat([1, -1, 0], [first, second, 9])
    found, test = mcnemar_by_patient(gains)
    assert found == pytest.approx(p)
    assert test == "McNemar by patient, exact"


def test_images_of_one_patient_say_less_than_as_many_patients() -> None:
    # Gains of 4, 4 and -1: of the eight ways to turn them round, four have a sum of 7 or more either way.
    assert mcnemar_by_patient(np.array([4, 4, -1]))[0] == pytest.approx(0.5)
    assert mcnemar(8, 1)[0] == pytest.approx(0.0390625)


def test_many_discordant_images_of_patients_are_tested_by_the_sum_of_squares() -> None:
    gains = np.repeat([3, -2], [120, 100])
    exact = mcnemar_by_patient(gains[::2])
    p, test = mcnemar_by_patient(gains)
    assert (exact[1], test) == ("McNemar by patient, exact", "McNemar by patient, chi-square")
    # (360 - 200)² / (120·9 + 100·4) = 25600 / 1480
    assert p == pytest.approx(float(chi2.sf(25600 / 1480, 1)))
