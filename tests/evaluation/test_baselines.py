"""Baselines: the commonest class, and a regression on what stands beside the pixels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.baselines import baselines
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.surroundings import Baseline, Baselines
from medimg_cli.evaluation.summary import overall
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.sampling import Sampling
from tests.evaluation.analyses.answers import one_of
from tests.evaluation.subjects import Columns, threshold, two_classes

GENERATOR = np.random.default_rng(2)
ILL = GENERATOR.random(400) < 0.3
AGES = np.round(GENERATOR.normal(50 + 10 * ILL, 10), 1)
TRAIN, HERE = slice(0, 250), slice(250, 400)


def rows(columns: Columns, part: slice) -> Columns:
    labels = ["ill" if ill else "well" for ill in ILL[part]]
    return {"label": labels} | {name: values[part] for name, values in columns.items()}


def subject(columns: Columns, score: np.ndarray | None = None, **options: Any) -> Subject:
    scores = np.where(ILL[HERE], 0.9, 0.1) if score is None else score
    here = {name: values[HERE] for name, values in columns.items()}
    return two_classes(ILL[HERE], scores, training=rows(columns, TRAIN), metadata=here, **options)


def found(of: Subject) -> dict[str, Baseline]:
    result = baselines(of)
    assert isinstance(result, Baselines)
    return {row.name: row for row in result.rows}


def test_the_commonest_class_of_training_misses_every_case_of_the_other_one() -> None:
    row = found(subject({}))["majority class"]
    ill = int(ILL[HERE].sum())
    recall = row.metrics["recall"]
    assert (recall.value, recall.count, recall.n) == (0, 0, ill)
    assert row.metrics["accuracy"].value == pytest.approx(1 - ill / 150)
    assert (row.metrics["auroc"].value, row.metrics["specificity"].value) == (0.5, 1)
    assert row.remark == (
        f"always answering well is right for {100 - ill / 1.5:.1f} % of the images, and misses all {ill} of ill"
    )


def test_where_the_positive_class_is_the_commonest_one_every_other_image_is_a_false_alarm() -> None:
    training = {"label": ["ill", "ill", "well"]}
    row = found(two_classes([True, False], [0.5, 0.5], training=training))["majority class"]
    assert (row.metrics["recall"].value, row.metrics["specificity"].value) == (1, 0)
    assert row.remark.endswith("it misses no ill, and every other image is a false alarm")


def test_the_metadata_only_model_is_scikit_learns_on_standardised_columns() -> None:
    columns: Columns = {"age": [str(age) for age in AGES]}
    row = found(subject(columns))["metadata only"]
    scaled = ((AGES - AGES[TRAIN].mean()) / AGES[TRAIN].std())[:, None]
    scores = LogisticRegression().fit(scaled[TRAIN], ILL[TRAIN]).predict_proba(scaled[HERE])[:, 1]
    assert row.uses == ("age",)
    assert row.metrics["auroc"].value == pytest.approx(roc_auc_score(ILL[HERE], scores), abs=1e-9)
    assert row.metrics["recall"].value == np.mean(scores[ILL[HERE]] >= 0.5)
    low, high = row.metrics["auroc"].low, row.metrics["auroc"].high
    assert low is not None and high is not None and low < high
    assert "tell more than chance" in row.remark


def test_its_threshold_is_the_one_that_reaches_the_models_recall_on_training() -> None:
    columns: Columns = {"age": [str(age) for age in AGES]}
    row = found(subject(columns, point=threshold(0.5, recall=0.9)))["metadata only"]
    edge = np.sort(AGES[TRAIN][ILL[TRAIN]])[::-1][int(np.ceil(0.9 * ILL[TRAIN].sum())) - 1]
    assert row.metrics["recall"].value == np.mean(AGES[HERE][ILL[HERE]] >= edge)


@pytest.mark.parametrize(
    ("wrong", "inverted", "words"),
    [
        (0, False, "do as well as the model or better"),
        (0, True, "do as well as the model or better"),
        (25, False, "come near the model"),
    ],
)
def test_a_site_that_gives_the_label_away_is_set_against_the_model(
    wrong: int, inverted: bool, words: str
) -> None:
    sites = ["A" if ill != (wrong > 0 and number % wrong == 0) else "B" for number, ill in enumerate(ILL)]
    score = np.where(ILL[HERE] != inverted, 0.9, 0.1)
    row = found(subject({"site": sites}, score))["metadata only"]
    area, model = row.metrics["auroc"].value, 0 if inverted else 1
    assert area is not None and (area == 1 if wrong == 0 else 0.95 < area < 1)
    assert row.remark == (
        f"AUROC {area:.3f} against the model's {model:.3f}: these columns alone {words}, so the images may not "
        f"matter; strongest: site (AUROC {area:.3f})"
    )


def test_what_tells_nothing_is_told_so() -> None:
    columns: Columns = {"site": [f"{number % 3}A" for number in range(400)]}
    assert "no more than chance" in found(subject(columns))["metadata only"].remark


@pytest.mark.parametrize(("column", "known"), [("age", "50"), ("site", "A")])
def test_a_value_that_is_not_known_is_a_level_of_its_own(column: str, known: str) -> None:
    values = ["" if ill and number % 10 else known for number, ill in enumerate(ILL)]
    row = found(subject({column: values}))["metadata only"]
    assert row.uses == (column,)
    assert (row.metrics["auroc"].value or 0) > 0.9


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("label_first", ["ill" if ill else "well" for ill in ILL]),
        ("opinion", ["ill" if ill else "well" for ill in ILL]),
        ("study_uid", [f"{ill}-{number}" for number, ill in enumerate(ILL)]),
        ("patient_id", [str(int(ill)) for ill in ILL]),
        ("status", [str(int(ill)) for ill in ILL]),
        ("reason", [str(int(ill)) for ill in ILL]),
        ("site", ["A"] * 400),
    ],
)
def test_labels_identifiers_and_constants_are_not_learnt_from(column: str, values: list[str]) -> None:
    result = baselines(subject({column: values}))
    assert isinstance(result, Baselines)
    assert [row.name for row in result.rows] == ["majority class"]
    assert result.absent == (
        "no metadata-only model: nothing that stands beside the pixels differs between images of training"
    )


def test_without_the_images_of_training_the_commonest_class_is_that_of_the_split() -> None:
    result = baselines(two_classes([True, False, False], [0.5, 0.5, 0.5]))
    assert isinstance(result, Baselines)
    assert result.rows[0].remark.endswith("(the commonest of this split, as that of training is not known)")
    assert "are not known" in result.absent


def test_the_images_a_regression_was_fitted_on_do_not_test_it() -> None:
    columns: Columns = {"age": [str(age) for age in AGES]}
    of = subject(columns)
    files = [f"file{number}" for number in range(250)]
    assert of.training is not None
    same = replace(
        of,
        training=of.training.assign(sha256=files),
        metadata=of.metadata.assign(sha256=[*files[:150]]),
    )
    result = baselines(same)
    assert isinstance(result, Baselines)
    assert result.absent.endswith("these are the images it would be fitted on")


def test_of_three_classes_without_a_positive_one_means_over_classes_are_given() -> None:
    truth = np.arange(90) % 3
    names = np.array(["a", "b", "c"])[truth]
    table = pd.DataFrame({"y_true": names} | {f"prob_{name}": (names == name) * 1.0 for name in "abc"})
    here = ScoredPredictions(table, LabelSpace(("a", "b", "c"), None), OperatingPoint(), Sampling(None, 90))
    known = pd.DataFrame({"label": [*names, "b"], "site": [*names, "b"]}).assign(
        site=lambda all: "S" + all.site
    )
    rows = found(Subject(here, metadata=known.iloc[:90], training=known))
    assert rows["majority class"].metrics["macro_recall"].value == pytest.approx(1 / 3)
    assert rows["majority class"].metrics["macro_auroc"].value == 0.5
    assert rows["majority class"].remark.startswith("always answering b is right for 33.3 %")
    assert rows["metadata only"].metrics["macro_recall"].value == 1
    with_positive = replace(here, labels=LabelSpace(("a", "b", "c"), "c"))
    row = found(Subject(with_positive, metadata=known.iloc[:90], training=known))["majority class"]
    assert row.remark == "always answering b is right for 33.3 % of the images, and misses all 30 of c"
    assert row.metrics["accuracy"].value == pytest.approx(1 / 3)  # of three classes, as the model's is


def test_of_several_labels_the_positive_one_is_answered_where_it_was_judged() -> None:
    marks = ["1", "0", "", "1", "0", "0"]
    table = pd.DataFrame({"y_true_x": marks, "y_true_y": ["0"] * 6, "prob_x": [0.5] * 6, "prob_y": [0.5] * 6})
    sites = [{"1": "A", "0": "B", "": "C"}[mark] for mark in marks]
    labels = ["x", "", "", "x", "y", ""]
    training = pd.DataFrame(
        {"label": labels * 5, "unknown": ["", "", "x", "", "", ""] * 5, "site": sites * 5}
    )
    here = ScoredPredictions(
        table, LabelSpace(("x", "y"), "x", several=True), OperatingPoint(), Sampling(None, 6)
    )
    of = Subject(here, metadata=pd.DataFrame({"site": sites}), training=training)
    rows = found(of)
    assert rows["majority class"].remark.startswith("always answering x for no image is right for 60.0 %")
    assert (rows["metadata only"].metrics["auroc"].value, rows["metadata only"].metrics["auroc"].n) == (1, 5)
    nothing = replace(of, here=replace(here, labels=LabelSpace(("x", "y"), None, several=True)))
    assert baselines(nothing) == "several labels an image and none stated as the positive one"


@pytest.mark.parametrize("positive", [None, "a", "a,b"])
def test_baselines_of_several_classes_are_defined_as_the_models_figures_are(positive: str | None) -> None:
    truth = np.repeat([0, 1, 2, 2], 30)
    guesses = np.tile([0.0, 0.0, 1.0], (len(truth), 1))  # what always answering the commonest class says
    here = one_of(truth, guesses, positive=positive)
    (row,) = found(Subject(here, metadata=here.table)).values()
    model = overall(here)
    assert {name: figure.value for name, figure in row.metrics.items()} == {
        name: model[name].value for name in row.metrics
    }
    assert {"accuracy", "macro_recall", "macro_auroc"} <= set(row.metrics)
    assert ("recall" in row.metrics) is (positive is not None)
