"""Several images as one exam: pooled probabilities, the exam's truth, and which pooling validation asks for."""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.predictions.exam_answers import POOLINGS, pooled
from medimg_cli.predictions.exams import exam_table, exams_chosen, targets_of
from medimg_cli.predictions.operating_point import OperatingPoint, point_by
from medimg_cli.runs.run import Exams, Pooling
from medimg_cli.stages.evaluate_table import evaluate_table
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import EvaluateSettings, ThresholdRule

WELL_ILL = LabelSpace(("well", "ill"), "ill")


def slices(shown: int, *, exams: int = 80, count: int = 10, seed: int = 0) -> pd.DataFrame:
    """Return answers to exams of some slices, `shown` of which show the disease in the ill ones; the last to say so."""
    generator = np.random.default_rng(seed)
    exam = np.repeat(np.arange(exams), count)
    ill = exam % 2 == 1
    seen = ill & (np.tile(np.arange(count), exams) >= count - shown)
    score = 1 / (1 + np.exp(-(generator.normal(-2, 1, exams * count) + 3.5 * seen)))
    return pd.DataFrame(
        {
            "exam_id": [f"e{number}" for number in exam],
            "patient_id": [f"p{number // 2}" for number in exam],
            "y_true": np.where(ill, "ill", "well"),
            "prob_well": 1 - score,
            "prob_ill": score,
        }
    )


def chosen(table: pd.DataFrame, labels: LabelSpace = WELL_ILL) -> Exams:
    def point(targets: np.ndarray, probabilities: np.ndarray, sampling: Sampling) -> OperatingPoint:
        rule = ThresholdRule("recall", 0.95)
        return point_by(rule, labels, targets, probabilities, split="val", sampling=sampling)

    found = exams_chosen(table, labels, "column exam", "val", point, known=True)
    assert found is not None
    return found


def test_the_card_knows_every_pooling() -> None:
    assert tuple(POOLINGS) == get_args(Pooling)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("mean", 0.3), ("max", 0.6), ("top-3 mean", 0.4), ("noisy-or", 1 - 0.4 * 0.6 * 0.8 * 1)],
)
def test_scores_are_pooled_by_exam_in_any_order(rule: Pooling, expected: float) -> None:
    score = np.array([0.2, 0.5, 0.6, 0.4, 0.0])
    exam_of = np.array([0, 1, 0, 0, 0])
    found = pooled(np.c_[1 - score, score], exam_of, rule, np.array([False, True]), several=False)
    assert found[:, 1] == pytest.approx([expected, 0.5])
    assert found.sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize("rule", list(POOLINGS))
def test_an_exam_of_one_image_is_that_image(rule: Pooling) -> None:
    chances = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    for positive in ([0, 0, 1, 1], [0, 0, 0, 0]):
        found = pooled(chances, np.arange(20), rule, np.array(positive, bool), several=False)
        assert found == pytest.approx(chances)


@pytest.mark.parametrize("rule", list(POOLINGS))
def test_certain_answers_stay_probabilities(rule: Pooling) -> None:
    chances = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    found = pooled(chances, np.array([0, 0, 1]), rule, np.array([False, False, True]), several=False)
    assert found == pytest.approx(chances[[0, 2]])


def test_an_exam_is_ill_where_one_image_is_and_else_what_most_images_are() -> None:
    labels = LabelSpace(("a", "b", "ill"), "ill")
    table = pd.DataFrame({"exam_id": list("xxyyyz"), "y_true": ["a", "ill", "a", "b", "b", "a"]})
    table = table.assign(prob_a=0.2, prob_b=0.3, prob_ill=0.5)
    assert exam_table(table, labels, "mean")["y_true"].tolist() == ["ill", "b", "a"]


def test_a_label_is_unknown_for_an_exam_unless_an_image_shows_it_or_all_were_judged() -> None:
    labels = LabelSpace(("m", "n"), None, several=True)
    table = pd.DataFrame(
        {
            "exam_id": list("xxyy"),
            "y_true": ["m", "", "", ""],
            "y_true_m": ["1", "", "0", "0"],
            "y_true_n": ["0", "", "0", "0"],
        }
    ).assign(prob_m=[0.2, 0.9, 0.1, 0.1], prob_n=0.5)
    found = exam_table(table, labels, "max")
    assert targets_of(found, labels) == pytest.approx(np.array([[1, np.nan], [0, 0]]), nan_ok=True)
    assert found["prob_m"].tolist() == [0.9, 0.1]


def test_the_mean_is_taken_where_all_slices_show_it_and_another_where_few_do() -> None:
    assert chosen(slices(shown=10)).pooling == "mean"
    few = chosen(slices(shown=1, count=20))
    assert few.pooling in ("max", "top-3 mean")
    assert few.auroc[few.pooling] > few.auroc["mean"] + 0.05


def test_the_threshold_of_exams_reaches_the_recall_that_was_asked_for() -> None:
    table = slices(shown=2)
    found = chosen(table)
    assert found.threshold is not None and found.threshold.positives == (40, 40)
    exams = exam_table(table, WELL_ILL, found.pooling)
    ill = exams["y_true"] == "ill"
    assert (exams.loc[ill, "prob_ill"] >= found.threshold.value).mean() >= 0.95


def test_without_a_positive_exam_the_mean_is_taken_and_said() -> None:
    labels = LabelSpace(("a", "b"))
    table = slices(shown=2).replace({"y_true": {"ill": "a", "well": "a"}})
    table = table.rename(columns={"prob_well": "prob_a", "prob_ill": "prob_b"})
    found = chosen(table, labels)
    assert (found.pooling, found.threshold) == ("mean", None)
    assert "not defined" in found.why


def test_a_table_with_exams_is_measured_by_exam_where_val_can_choose_the_pooling(tmp_path: Path) -> None:
    table = slices(shown=1, count=20).assign(
        split=lambda t: np.where(t["exam_id"].str[1:].astype(int) < 40, "val", "test")
    )
    table["image_id"] = [f"i{number}" for number in range(len(table))]
    path = tmp_path / "answers.csv"
    table.to_csv(path, index=False)
    settings = EvaluateSettings(positive="ill", target_recall=0.9)
    found = evaluate_table(path, settings).evaluation.exams
    assert found is not None and (found.n, found.patients) == (40, 20)
    assert found.pooling != "mean" and found.threshold is not None and found.threshold.split == "val"
