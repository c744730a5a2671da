"""One rule for every kind of answer: what is positive, which class is called, and the column that says so."""

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.operating_point import OperatingPoint, point_by
from medimg_cli.predictions.predictions import decided_table
from medimg_cli.runs.run import Threshold
from medimg_cli.workspace.operating_settings import ThresholdRule


def at(value: float) -> Threshold:
    return Threshold(value=value, rule="given", split="", achieved_recall=None, achieved_specificity=None)


TWO, THREE = LabelSpace(("well", "ill"), "ill"), LabelSpace(("cyst", "mass", "well"), "mass")


def test_the_threshold_itself_is_positive_and_the_class_called_agrees() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5001, 0.4999], [0.69, 0.31]])
    decided = decide(probabilities, TWO, at(0.5))
    assert decided.decisions == ["positive", "negative", "negative"]
    assert decide(probabilities, TWO, at(0.31)).names == ["ill", "ill", "ill"]
    assert decide(probabilities, TWO).decisions == ["", "", ""]


@pytest.mark.parametrize(
    ("positive", "threshold", "names", "decisions"),
    [
        ("mass", 0.2, ["mass", "mass", "cyst"], ["positive", "positive", "negative"]),
        ("mass", 0.55, ["cyst", "well", "cyst"], ["negative", "negative", "negative"]),
        ("cyst,mass", 0.5, ["cyst", "mass", "cyst"], ["positive", "positive", "positive"]),
        ("mass, cyst", 0.8, ["cyst", "well", "cyst"], ["positive", "negative", "positive"]),
        (None, 0.1, ["cyst", "well", "cyst"], ["", "", ""]),
    ],
)
def test_of_several_classes_the_positive_ones_together_reach_the_threshold(
    positive: str | None, threshold: float, names: list[str], decisions: list[str]
) -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.05, 0.5, 0.45], [0.9, 0.05, 0.05]])
    probabilities[1] = [0.05, 0.47, 0.48]
    decided = decide(probabilities, LabelSpace(THREE.classes, positive), at(threshold))
    assert (decided.names, decided.decisions) == (names, decisions)


def test_a_class_may_have_a_comma_in_its_name() -> None:
    labels = LabelSpace(("normal, benign", "cancer", "other"), "normal, benign")
    assert labels.positives == ("normal, benign",)


@pytest.mark.parametrize("positive", ["mas", "mass,cist", ",", "mass,cyst,well"])
def test_positives_that_are_no_classes_or_all_of_them_are_refused(positive: str) -> None:
    with pytest.raises(UsageError, match="positive"):
        LabelSpace(THREE.classes, positive)


def test_labels_that_go_together_cannot_be_one_disease() -> None:
    with pytest.raises(UsageError, match="one threshold each"):
        LabelSpace(("edema", "mass", "rib"), "edema,mass", several=True)


@pytest.mark.parametrize(
    "labels", [TWO, THREE, LabelSpace(THREE.classes, "cyst,mass"), LabelSpace(THREE.classes)]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_confusion_matrix_is_counted_from_one_column(labels: LabelSpace, seed: int) -> None:
    generator = np.random.default_rng(seed)
    count = len(labels.classes)
    truth = generator.integers(0, count, 80)
    logits = generator.normal(0, 1, (80, count)) + np.eye(count)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    point = point_by(ThresholdRule("recall", 0.9), labels, truth, probabilities, split="val")
    table = pd.DataFrame({"y_true": [labels.classes[index] for index in truth]})
    table = table.assign(
        **{f"prob_{name}": probabilities[:, place] for place, name in enumerate(labels.classes)}
    )
    table = decided_table(table, labels, point)
    if labels.positive is None:
        assert point == OperatingPoint()
        return
    assert point.threshold is not None
    ill, called = table["y_true"].isin(labels.positives), table["y_pred"].isin(labels.positives)
    assert (called == (table["decision"] == "positive")).all()
    assert called[ill].mean() == pytest.approx(point.threshold.achieved_recall)
    assert point.threshold.achieved_recall is not None
    assert point.threshold.achieved_recall >= 0.9
    own = [row[f"prob_{row['y_pred']}"] for _, row in table.iterrows()]
    assert np.allclose(table["confidence"], own)
