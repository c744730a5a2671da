"""AUC and ACC as MedMNIST's evaluator defines them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluate import medmnist
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.sampling import Sampling
from tests.evaluation.subjects import threshold, two_classes

GENERATOR = np.random.default_rng(5)


def test_two_classes_are_called_above_a_half_whatever_threshold_is_in_force() -> None:
    truth, score = [False, False, True, True], [0.5, 0.5, 0.9, 0.5]
    found = medmnist(two_classes(truth, score, point=threshold(0.1)).here)
    assert (found.acc, found.auc) == (0.75, roc_auc_score(truth, score))


def test_more_classes_have_the_mean_area_and_the_accuracy_of_the_most_probable() -> None:
    answers = GENERATOR.dirichlet(np.ones(3), 60)
    truth = GENERATOR.integers(0, 3, 60)
    table = pd.DataFrame({"y_true": [f"c{index}" for index in truth]})
    table = table.assign(**{f"prob_c{index}": answers[:, index] for index in range(3)})
    here = ScoredPredictions(table, LabelSpace(("c0", "c1", "c2")), OperatingPoint(), Sampling(None, 60))
    found = medmnist(here)
    areas = [roc_auc_score(truth == index, answers[:, index]) for index in range(3)]
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-12)
    assert found.acc == (answers.argmax(axis=1) == truth).mean()


def test_several_labels_have_means_over_labels() -> None:
    marks = GENERATOR.integers(0, 2, (40, 2))
    answers = GENERATOR.random((40, 2))
    answers[0, 0] = 0.5
    table = pd.DataFrame({f"y_true_l{index}": marks[:, index].astype(str) for index in range(2)})
    table = table.assign(**{f"prob_l{index}": answers[:, index] for index in range(2)})
    here = ScoredPredictions(
        table, LabelSpace(("l0", "l1"), several=True), OperatingPoint(), Sampling(None, 40)
    )
    found = medmnist(here)
    areas = [roc_auc_score(marks[:, index], answers[:, index]) for index in range(2)]
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-12)
    assert found.acc == pytest.approx(((answers > 0.5) == marks).mean(), abs=1e-12)


def test_a_class_that_no_image_is_of_leaves_no_area() -> None:
    found = medmnist(two_classes([False, False], [0.4, 0.6]).here)
    assert (found.auc, found.acc) == (None, 0.5)
    assert "only with or only without" in found.reason
