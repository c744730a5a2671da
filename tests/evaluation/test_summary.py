"""The whole panel: binary at a threshold, several classes, undefined means."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.summary import overall, per_class
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import Sampling

GENERATOR = np.random.default_rng(11)
TRUTH = GENERATOR.integers(0, 3, 400)
LOGITS = GENERATOR.normal(0, 1, (400, 3)) + 1.5 * np.eye(3)[TRUTH]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
CALLED = PROBABILITIES.argmax(axis=1)


def answered(truth: np.ndarray, positive: str | None = None) -> ScoredPredictions:
    table = pd.DataFrame({"image_id": np.arange(400), "y_true": np.array(["a", "b", "c"])[truth]})
    table = table.assign(**{f"prob_{name}": PROBABILITIES[:, index] for index, name in enumerate("abc")})
    return ScoredPredictions(
        table, LabelSpace(("a", "b", "c"), positive), OperatingPoint(), Sampling(None, 400)
    )


THREE = answered(TRUTH)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("accuracy", reference.accuracy_score(TRUTH, CALLED)),
        ("macro_recall", reference.recall_score(TRUTH, CALLED, average="macro")),
        ("macro_precision", reference.precision_score(TRUTH, CALLED, average="macro")),
        ("macro_f1", reference.f1_score(TRUTH, CALLED, average="macro")),
        ("weighted_f1", reference.f1_score(TRUTH, CALLED, average="weighted")),
        ("balanced_accuracy", reference.balanced_accuracy_score(TRUTH, CALLED)),
        ("mcc", reference.matthews_corrcoef(TRUTH, CALLED)),
        ("kappa", reference.cohen_kappa_score(TRUTH, CALLED)),
        ("macro_auroc", reference.roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr")),
        ("macro_average_precision", reference.average_precision_score(np.eye(3)[TRUTH], PROBABILITIES)),
        ("log_loss", reference.log_loss(TRUTH, PROBABILITIES)),
        ("brier", reference.brier_score_loss(TRUTH, PROBABILITIES)),
    ],
)
def test_means_over_classes_are_scikit_learns(name: str, oracle: float) -> None:
    estimate = overall(THREE)[name]
    assert estimate.value == pytest.approx(oracle, abs=1e-12)
    if estimate.low is not None and estimate.high is not None:
        assert estimate.low < oracle < estimate.high


def test_kappa_of_grades_weighs_how_far_a_decision_is_off() -> None:
    found = overall(THREE, ordinal=True)["weighted_kappa"]
    expected = reference.cohen_kappa_score(TRUTH, CALLED, weights="quadratic")
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low is not None and found.high is not None and found.low < expected < found.high
    assert "weighted_kappa" not in overall(THREE)


def test_a_positive_class_among_three_brings_its_own_recall() -> None:
    figures = overall(answered(TRUTH, "c"))
    assert figures["recall"].value == pytest.approx(np.mean(CALLED[TRUTH == 2] == 2))
    assert "macro_recall" in figures


def test_a_metric_that_is_new_on_the_shelf_is_measured_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        METRICS._entries, "a_new_one", lambda view: Estimate(value=0.5, n=view.n, reason="half")
    )
    figures = list(overall(answered(TRUTH, positive="b")))
    assert set(METRICS.names()) < set(figures)
    assert figures[:2] == ["recall", "specificity"]
    assert figures.index("a_new_one") == len(METRICS.names()) - 1


def test_each_class_stands_against_the_rest() -> None:
    assert per_class(THREE)["b"]["precision"].value == pytest.approx(np.mean(TRUTH[CALLED == 1] == 1))
    assert THREE.confusion().matrix == tuple(map(tuple, reference.confusion_matrix(TRUTH, CALLED).tolist()))


def test_a_mean_over_a_class_that_does_not_occur_is_undefined() -> None:
    two_of_three = answered(TRUTH.clip(max=1))
    estimate = overall(two_of_three)["macro_auroc"]
    assert (estimate.value, estimate.reason) == (None, "a class does not occur")
