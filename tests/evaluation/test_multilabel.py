"""An evaluation of several labels an image, against scikit-learn on what is known of each."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluate import evaluation_of
from medimg_cli.evaluation.evaluation import Evaluation, Leakage
from medimg_cli.evaluation.metrics.ranking import macro_auroc, macro_average_precision
from medimg_cli.evaluation.summary import overall_of_labels
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import Recorded, truth_columns
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.areas import delong
from medimg_cli.statistics.intervals import logit_interval, wilson
from medimg_cli.statistics.sampling import sampling_of

CLASSES = ("bar", "dot", "rare")
CUTS = {"bar": 0.6, "dot": 0.3}
GENERATOR = np.random.default_rng(7)
MARKS = (GENERATOR.random((90, 3)) < 0.4).astype(np.float32)
MARKS[GENERATOR.random(MARKS.shape) < 0.2] = np.nan
MARKS[:, 2] = np.where(np.isnan(MARKS[:, 2]), np.nan, 0)
SCORES = np.clip(0.3 * np.nan_to_num(MARKS) + 0.7 * GENERATOR.random(MARKS.shape), 0, 1)


def cut(value: float) -> Threshold:
    return Threshold(
        value=value, rule="", split="val", target_recall=0.9, achieved_recall=0.9, achieved_specificity=0.5
    )


def evaluated(positive: str | None = None) -> Evaluation:
    table = pd.DataFrame(
        {
            "image_id": [f"{number}.png" for number in range(90)],
            "patient_id": [f"p{number}" for number in range(90)],
            "y_true": "",
            **truth_columns(MARKS, CLASSES),
            **{f"prob_{name}": SCORES[:, index] for index, name in enumerate(CLASSES)},
        }
    )
    labels = LabelSpace(CLASSES, positive, several=True)
    point = OperatingPoint(thresholds={name: cut(value) for name, value in CUTS.items()})
    subject = Subject(
        here=ScoredPredictions(table, labels, point, sampling_of(table, known=True)), metadata=table
    )
    return evaluation_of(
        subject,
        recorded=Recorded("r", "test", "a", "b", "c"),
        leakage=Leakage(patients_known=True, shared_patients=0, shared_files=0),
    )


def answered_to(marks: np.ndarray, scores: np.ndarray, patients: list[str]) -> ScoredPredictions:
    table = pd.DataFrame(
        {
            "image_id": [f"{number}.png" for number in range(len(marks))],
            "patient_id": patients,
            "y_true": "",
            **truth_columns(marks, CLASSES),
            **{f"prob_{name}": scores[:, index] for index, name in enumerate(CLASSES)},
        }
    )
    point = OperatingPoint(thresholds={name: cut(value) for name, value in CUTS.items()})
    return ScoredPredictions(
        table, LabelSpace(CLASSES, None, several=True), point, sampling_of(table, known=True)
    )


def known(index: int) -> tuple[np.ndarray, np.ndarray]:
    rows = ~np.isnan(MARKS[:, index])
    return MARKS[rows, index] == 1, SCORES[rows, index]


@pytest.mark.parametrize("name", ["bar", "dot"])
def test_each_label_is_measured_at_its_own_threshold_where_it_was_judged(name: str) -> None:
    evaluation = evaluated()
    figures, (truth, score) = evaluation.per_class[name], known(CLASSES.index(name))
    called = score >= CUTS[name]
    assert figures["recall"].value == pytest.approx(reference.recall_score(truth, called))
    assert (figures["recall"].low, figures["recall"].high) == wilson(
        int((truth & called).sum()), int(truth.sum())
    )
    assert figures["specificity"].value == pytest.approx(reference.recall_score(~truth, ~called))
    assert figures["auroc"].value == pytest.approx(reference.roc_auc_score(truth, score))
    assert (figures["auroc"].low, figures["auroc"].high) == logit_interval(*delong(truth, score))
    assert evaluation.class_counts[name] == truth.sum()
    assert evaluation.unknown_labels[name] == 90 - len(truth)


def test_means_are_over_labels_that_the_split_shows_both_ways_and_the_others_are_named() -> None:
    evaluation = evaluated()
    aurocs = [reference.roc_auc_score(*known(index)) for index in range(2)]
    assert evaluation.metrics["macro_auroc"].value == pytest.approx(np.mean(aurocs))
    assert evaluation.metrics["macro_auroc"].n == evaluation.metrics["macro_specificity"].n == 90
    assert evaluation.per_class["rare"]["auroc"].value is None
    assert any("in no mean: rare" in warning for warning in evaluation.warnings)
    assert any("called at 0.5" in warning and "rare" in warning for warning in evaluation.warnings)


def test_log_loss_is_the_mean_over_what_was_judged_with_an_interval() -> None:
    found = evaluated().metrics["log_loss"]
    truth, score = (np.concatenate(parts) for parts in zip(*map(known, range(3)), strict=True))
    assert found.value == pytest.approx(reference.log_loss(truth, score, labels=[False, True]))
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high


def test_there_is_no_matrix_of_labels_that_do_not_exclude_each_other() -> None:
    evaluation = evaluated()
    assert evaluation.confusion is None
    assert evaluation.confusion_absent
    assert Evaluation.model_validate(evaluation.model_dump()) == evaluation


def test_a_stated_positive_label_has_its_figures_and_its_misses() -> None:
    evaluation = evaluated("dot")
    truth, score = known(1)
    missed = truth & (score < CUTS["dot"])
    assert evaluation.metrics["recall"] == evaluation.per_class["dot"]["recall"]
    assert evaluation.missed is not None
    assert (evaluation.missed.count, evaluation.missed.of) == (missed.sum(), truth.sum())


def drawn_macro_recall(marks: np.ndarray, scores: np.ndarray, generator: np.random.Generator) -> float:
    """Return the mean recall of the first two labels of a bootstrap sample of images, worked out label by label."""
    rows = generator.integers(0, len(marks), len(marks))
    cuts = np.array([CUTS["bar"], CUTS["dot"]])
    shown, called = marks[rows, :2], scores[rows, :2] >= cuts
    return float(np.mean([called[shown[:, k] == 1, k].mean() for k in range(2)]))


def test_the_interval_of_a_mean_over_labels_is_that_of_drawing_images_with_all_their_labels() -> None:
    found = overall_of_labels(answered_to(MARKS, SCORES, [f"p{number}" for number in range(90)]))[
        "macro_recall"
    ]
    generator = np.random.default_rng(1)
    drawn = [drawn_macro_recall(MARKS, SCORES, generator) for _ in range(4_000)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.025)


@pytest.mark.parametrize("name", ["macro_recall", "macro_f1", "macro_auroc", "macro_average_precision"])
def test_a_second_copy_of_every_image_of_a_patient_makes_no_mean_surer(name: str) -> None:
    patients = [f"p{number}" for number in range(90)]
    once = overall_of_labels(answered_to(MARKS, SCORES, patients))[name]
    marks, scores = np.concatenate([MARKS, MARKS]), np.concatenate([SCORES, SCORES])
    twice = overall_of_labels(answered_to(marks, scores, patients + patients))[name]
    apart = overall_of_labels(answered_to(marks, scores, [f"p{number}" for number in range(180)]))[name]
    width, doubled, naive = (figure.high - figure.low for figure in (once, twice, apart))  # type: ignore[operator]
    assert twice.value == pytest.approx(once.value)
    assert doubled == pytest.approx(width, rel=0.06)
    assert naive < 0.8 * doubled


def test_a_mean_area_of_labels_that_everybody_judged_is_that_of_classes() -> None:
    marks = np.nan_to_num(MARKS)
    answered = answered_to(marks, SCORES, [f"p{number // 2}" for number in range(90)])
    of_labels = overall_of_labels(answered)
    views = [answered.views[name] for name in ("bar", "dot")]
    assert of_labels["macro_auroc"] == macro_auroc(views, answered.sampling)
    assert of_labels["macro_average_precision"] == macro_average_precision(views, answered.sampling)
