"""Brier score and log loss of several classes, against numbers of other software."""

import numpy as np
import pytest
from sklearn import metrics as reference

from medimg_cli.evaluation.metrics.probability import label_log_losses, log_losses, squared_gaps
from medimg_cli.statistics.probabilities import log_loss_of

# MetricsReloaded's test of calibration metrics.
FOUR = np.array([[0.1, 0.6, 0.3], [0.8, 0.1, 0.1], [0.05, 0.0, 0.95], [0.1, 0.7, 0.2]])


def test_log_loss_is_that_of_metrics_reloaded() -> None:
    expected = -(np.log(0.6) + np.log(0.8) + np.log(0.95) + np.log(0.7)) / 4
    assert log_losses(FOUR, np.array([1, 0, 2, 1])).mean() == pytest.approx(expected, abs=1e-12)


def test_two_classes_are_not_summed() -> None:
    # MetricsReloaded, which sums over both, gives 0.40 here.
    gaps = squared_gaps(np.array([[0.2, 0.8], [0.4, 0.6]]), np.array([1, 0]))
    assert gaps.mean() == pytest.approx(0.20, abs=1e-12)
    score = np.array([0.1, 0.9, 0.8, 0.3])  # the documentation of scikit-learn
    gaps = squared_gaps(np.stack([1 - score, score], axis=1), np.array([0, 1, 1, 0]))
    assert gaps.mean() == pytest.approx(0.0375, abs=1e-12)


def test_several_classes_are_summed() -> None:
    truth = np.array([1, 0, 2, 0])
    expected = reference.brier_score_loss(truth, FOUR, labels=[0, 1, 2])
    assert squared_gaps(FOUR, truth).mean() == pytest.approx(expected, abs=1e-12)


def test_a_certain_error_costs_much_but_not_without_end() -> None:
    assert 15 < log_losses(np.array([[1.0, 0.0]]), np.array([1]))[0] < 17


def test_labels_that_nobody_judged_cost_nothing() -> None:
    marks = np.array([[1, np.nan], [0, 1], [np.nan, np.nan]], dtype=np.float32)
    probabilities = np.array([[0.8, 0.5], [0.3, 0.6], [0.1, 0.1]])
    losses, judged = label_log_losses(probabilities, marks)
    assert judged.tolist() == [1, 2, 0] and losses[2] == 0
    assert losses.sum() / judged.sum() == pytest.approx(log_loss_of(probabilities, marks))
