"""Curves keep their ends, their area and the operating point."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medimg_cli.evaluation.curves import precision_recall_curve_of, roc_curve_of

GENERATOR = np.random.default_rng(3)
TRUTH = GENERATOR.random(5000) < 0.3
SCORE = GENERATOR.normal(TRUTH * 1.5, 1.0)


def test_a_thinned_roc_curve_keeps_its_area() -> None:
    curve = roc_curve_of("a", TRUTH, SCORE, SCORE > 1)
    assert curve is not None
    assert len(curve.x) <= 200
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=2e-3)


def test_the_operating_point_is_the_decisions_own() -> None:
    called = SCORE > 1
    roc = roc_curve_of("a", TRUTH, SCORE, called)
    recall = precision_recall_curve_of("a", TRUTH, SCORE, called)
    assert roc is not None and recall is not None
    assert roc.operating_point == (called[~TRUTH].mean(), called[TRUTH].mean())
    assert recall.operating_point == (called[TRUTH].mean(), TRUTH[called].mean())


def test_ties_make_one_step() -> None:
    curve = roc_curve_of("a", np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.5]), None)
    assert curve is not None
    assert (curve.x, curve.y) == ((0.0, 1.0), (0.0, 1.0))


def test_one_class_has_no_curve() -> None:
    assert roc_curve_of("a", np.array([True]), np.array([0.5]), None) is None
    assert precision_recall_curve_of("a", np.array([False]), np.array([0.5]), None) is None
