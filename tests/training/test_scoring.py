"""Figures that training watches."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from sklearn import metrics as reference

from medimg_cli.statistics.probabilities import softmax
from medimg_cli.training.fitting.scoring import watched_figures

GENERATOR = np.random.default_rng(5)
TARGETS = GENERATOR.integers(0, 2, 50)
PROBABILITIES = softmax(GENERATOR.normal(0, 1, (50, 2)))


def test_they_are_scikit_learns_for_the_positive_class() -> None:
    figures = watched_figures(PROBABILITIES, TARGETS, positive=[1])
    called = PROBABILITIES.argmax(axis=1)
    assert asdict(figures) | {"specificity": 0.0} == pytest.approx(
        {
            "loss": reference.log_loss(TARGETS, PROBABILITIES),
            "auroc": reference.roc_auc_score(TARGETS, PROBABILITIES[:, 1]),
            "recall": reference.recall_score(TARGETS, called),
            "f1": reference.f1_score(TARGETS, called),
            "f2": reference.fbeta_score(TARGETS, called, beta=2),
            "specificity": 0.0,
        }
    )


@pytest.mark.parametrize("target", [0.5, 0.8, 1.0])
def test_specificity_is_the_best_that_reaches_the_target_recall(target: float) -> None:
    false_alarms, recalls, _ = reference.roc_curve(TARGETS, PROBABILITIES[:, 1], drop_intermediate=False)
    best = max(1 - alarm for alarm, recall in zip(false_alarms, recalls, strict=True) if recall >= target)
    figures = watched_figures(PROBABILITIES, TARGETS, positive=[1], target_recall=target)
    assert figures.specificity == pytest.approx(best)


def test_without_a_positive_class_they_are_means() -> None:
    called = PROBABILITIES.argmax(axis=1)
    figures = watched_figures(PROBABILITIES, TARGETS, positive=())
    assert figures.recall == pytest.approx(reference.balanced_accuracy_score(TARGETS, called))


def test_one_class_leaves_them_undefined() -> None:
    figures = watched_figures(PROBABILITIES, np.ones(50, dtype=np.int64), positive=[1])
    assert math.isnan(figures.auroc)


def test_softmax_survives_large_logits() -> None:
    assert softmax(np.array([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]


def test_of_several_labels_they_are_means_of_what_is_known() -> None:
    marks = (GENERATOR.random((80, 3)) < 0.4).astype(np.float32)
    marks[GENERATOR.random(marks.shape) < 0.3] = np.nan
    marks[:, 2] = np.where(np.isnan(marks[:, 2]), np.nan, 0)
    scores = GENERATOR.random((80, 3))
    figures = watched_figures(scores, marks, positive=())
    known = [~np.isnan(marks[:, index]) for index in range(3)]
    pairs = [(marks[rows, index], scores[rows, index]) for index, rows in enumerate(known)]
    likelihood = np.concatenate([np.where(truth == 1, score, 1 - score) for truth, score in pairs])
    assert figures.loss == pytest.approx(-np.log(likelihood).mean())
    # The third label is nowhere seen, so it is in no mean.
    aurocs = [reference.roc_auc_score(truth, score) for truth, score in pairs[:2]]
    assert figures.auroc == pytest.approx(np.mean(aurocs))
    recalls = [reference.recall_score(truth, score >= 0.5) for truth, score in pairs[:2]]
    assert figures.recall == pytest.approx(np.mean(recalls))


def test_several_positive_classes_are_watched_as_one() -> None:
    three = np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])
    targets = np.array([0, 1, 2, 2])
    together = np.stack([three[:, 2], three[:, 0] + three[:, 1]], axis=1)
    found = watched_figures(three, targets, positive=(0, 1), target_recall=1.0)
    against = watched_figures(together, (targets < 2).astype(np.int64), positive=[1], target_recall=1.0)
    assert (found.auroc, found.specificity) == (against.auroc, against.specificity)
    assert found.recall == 0.5  # the second is called the third class, the most probable one
