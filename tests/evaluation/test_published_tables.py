"""Metrics of a decision table against figures that others published."""

import numpy as np
import pytest

from medimg_cli.evaluation.metrics import METRICS, OneVsRest


def view_of(tp: int, fn: int, fp: int, tn: int) -> OneVsRest:
    """Return images with these decisions."""
    truth = np.repeat([True, True, False, False], [tp, fn, fp, tn])
    called = np.repeat([True, False, True, False], [tp, fn, fp, tn])
    return OneVsRest(truth, called.astype(float), called)


# MetricsReloaded's tests, figure SN 2.9: equal recall and specificity, another prevalence.
HALF_ILL, MOST_ILL = view_of(45, 5, 10, 40), view_of(81, 9, 2, 8)
FIGURES = {
    "balanced_accuracy": (0.85, 0.85),
    "mcc": (0.70, 0.56),
    "npv": (0.889, 0.47),
    "kappa": (0.70, 0.53),
    "f1": (0.86, 0.94),
}


def test_proc_s_best_threshold_of_s100b_has_its_recall_and_specificity() -> None:
    # R package pROC, data set aSAH, s100b above 0.205.
    view = view_of(26, 15, 14, 58)
    assert METRICS.get("recall")(view).value == pytest.approx(0.6341463414634146, abs=1e-15)
    assert METRICS.get("specificity")(view).value == pytest.approx(0.8055555555555556, abs=1e-15)


@pytest.mark.parametrize("name", FIGURES)
def test_only_some_figures_move_with_prevalence(name: str) -> None:
    for view, value in zip((HALF_ILL, MOST_ILL), FIGURES[name], strict=True):
        assert METRICS.get(name)(view).value == pytest.approx(value, abs=0.006)


def test_one_healthy_person_among_two_thousand_is_worth_little() -> None:
    # MetricsReloaded's tests: all that agreement beyond chance leaves.
    view = view_of(1499, 500, 0, 1)
    assert METRICS.get("mcc")(view).value == pytest.approx(0.0386, abs=1e-4)
    assert METRICS.get("kappa")(view).value == pytest.approx(0.003, abs=5e-4)
