"""Predictive values by Bayes, with the uncertainty of recall and specificity."""

import numpy as np
import pytest

from medimg_cli.evaluation.analyses.operating import OBSERVED, STATED, at_prevalences, predictive_values
from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.statistics.sampling import Sampling

GENERATOR = np.random.default_rng(4)


def view_of(found: int, missed: int, alarms: int, left: int, sampling: Sampling | None = None) -> OneVsRest:
    truth = np.repeat([True, True, False, False], [found, missed, alarms, left])
    called = np.repeat([True, False, True, False], [found, missed, alarms, left])
    return OneVsRest(truth, called.astype(np.float64), called, sampling)


VIEW = view_of(45, 5, 10, 190)


def test_the_textbook_case_of_a_rare_disease() -> None:
    precision, npv = predictive_values(np.array([0.90]), np.array([0.95]), 0.01)
    assert precision[0] == pytest.approx(0.15384615384615374, abs=1e-12)
    assert npv[0] == pytest.approx(0.9989378651088688, abs=1e-12)


def test_at_the_observed_prevalence_the_values_are_those_of_the_split() -> None:
    observed, stated = at_prevalences(VIEW, (0.01,))
    assert (observed.observed, observed.prevalence) == (True, 0.2)
    assert observed.precision.value == pytest.approx(METRICS.get("precision")(VIEW).value)
    assert observed.npv.value == pytest.approx(METRICS.get("npv")(VIEW).value)
    assert observed.alarms_per_100.value == pytest.approx(100 * 10 / 250)
    assert observed.number_needed_to_read == pytest.approx(55 / 45)
    assert (stated.observed, stated.prevalence) == (False, 0.01)
    assert stated.precision.value == pytest.approx(0.15384615384615374)
    assert stated.number_needed_to_read == pytest.approx(6.5)


def test_the_observed_prevalence_is_not_told_twice() -> None:
    assert [each.prevalence for each in at_prevalences(VIEW, (0.5, 0.2, 0.5))] == [0.2, 0.5]


def test_intervals_carry_those_of_recall_and_specificity_on() -> None:
    stated = at_prevalences(VIEW, (0.05,))[1]
    recall, specificity = (
        GENERATOR.binomial(50, 0.9, 200_000) / 50,
        GENERATOR.binomial(200, 0.95, 200_000) / 200,
    )
    for found, drawn in zip(
        (stated.precision, stated.npv), predictive_values(recall, specificity, 0.05), strict=True
    ):
        assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.06)
        assert found.method == "from the intervals of recall and specificity (Donner and Zou)"
    of_specificity = METRICS.get("specificity")(VIEW)
    assert of_specificity.high is not None
    assert stated.alarms_per_100.low == pytest.approx(95 * (1 - of_specificity.high))
    assert stated.alarms_per_100.method == "Wilson"


def test_without_a_miss_the_interval_still_reaches_below_one() -> None:
    stated = at_prevalences(view_of(20, 0, 10, 190), (0.1,))[1]
    recall, specificity = (METRICS.get(name)(view_of(20, 0, 10, 190)) for name in ("recall", "specificity"))
    low = predictive_values(np.array([recall.low]), np.array([specificity.low]), 0.1)[1][0]
    # Recall and specificity are not both at their worst at once: the bound lies above that corner.
    assert (stated.npv.value, stated.npv.high) == (1.0, 1.0)
    assert stated.npv.low is not None and low < stated.npv.low < 1


def test_one_predictive_value_has_one_interval_and_says_what_it_is_of() -> None:
    observed, stated = at_prevalences(VIEW, (0.1,))
    assert observed.precision == METRICS.get("precision")(VIEW)
    assert observed.npv == METRICS.get("npv")(VIEW)
    assert (observed.estimand, stated.estimand) == (OBSERVED, STATED)


def test_where_nothing_is_called_there_is_no_precision_and_nothing_to_read() -> None:
    none_called, all_called = (
        at_prevalences(view_of(0, 5, 0, 20), ())[0],
        at_prevalences(view_of(5, 0, 20, 0), ())[0],
    )
    assert (none_called.precision.value, none_called.precision.reason) == (
        None,
        "no image was called this class",
    )
    assert none_called.number_needed_to_read is None
    assert (all_called.npv.value, all_called.npv.reason) == (None, "every image was called this class")
    only_alarms = at_prevalences(view_of(0, 5, 5, 20), ())[0]
    assert (only_alarms.precision.value, only_alarms.number_needed_to_read) == (0.0, None)


def test_images_of_one_patient_widen_the_interval() -> None:
    same = Sampling([f"p{index // 5}" for index in range(250)], 250)
    by_patient, by_image = (
        at_prevalences(view_of(45, 5, 10, 190, each), ())[0].precision for each in (same, None)
    )
    assert by_patient.value == by_image.value
    assert None not in (by_patient.low, by_patient.high, by_image.low, by_image.high)
    assert by_patient.high - by_patient.low > 1.3 * (by_image.high - by_image.low)  # type: ignore[operator]
