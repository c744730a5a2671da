"""Statements that follow from the figures: an area below chance, a temperature that does harm, sets that fall short."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation import evaluate
from medimg_cli.evaluation.analyses.abstention import conformal
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import Leakage
from medimg_cli.evaluation.remarks import (
    TELLS_NOTHING,
    remarks_on_data,
    remarks_on_decisions,
    remarks_on_point,
    remarks_on_results,
)
from medimg_cli.evaluation.results.calibration import Calibration, Conformal
from medimg_cli.predictions.operating_point import OperatingPoint, point_by
from medimg_cli.predictions.predictions import Recorded
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.operating_settings import ThresholdRule
from tests.evaluation.subjects import threshold, two_classes


def test_an_area_below_chance_asks_whether_the_positive_class_is_swapped() -> None:
    said = remarks_on_results("ill", {"auroc": Estimate(value=0.12, n=90)}, None)
    assert len(said) == 1 and "0.120" in said[0] and "is ill the positive class" in said[0]
    assert remarks_on_results("ill", {"auroc": Estimate(value=0.5, n=90)}, None) == []
    assert "right columns" in remarks_on_results(None, {"macro_auroc": Estimate(value=0.4, n=9)}, None)[0]


def test_a_temperature_that_worsens_calibration_here_is_said() -> None:
    worse = Calibration(ece=0.09, temperature=1.7, uncalibrated={"ece": 0.05})
    (said,) = remarks_on_results("ill", {}, worse)
    assert "1.7" in said and "0.0900" in said and "0.0500" in said
    assert remarks_on_results("ill", {}, worse.model_copy(update={"ece": 0.04})) == []


def test_sets_are_withheld_for_a_class_that_they_hold_too_seldom_here() -> None:
    truth = np.repeat([True, False], 60)
    tuning = two_classes(truth, np.where(truth, 0.9, 0.1)).here
    shifted = two_classes(truth, np.where(truth, np.tile([0.9, 0.3], 60), 0.1)).here
    subject = two_classes(truth, truth.astype(float))
    found = conformal(type(subject)(here=shifted, tuning=tuning))
    assert isinstance(found, Conformal)
    assert list(found.withheld) == ["ill"]
    assert "30 of 60" in found.withheld["ill"]


def test_how_many_images_name_no_patient_is_said() -> None:
    here = two_classes(np.array([True, False, True]), np.array([0.9, 0.1, 0.8])).here
    some = Leakage(patients_known=True, nameless=2, shared_patients=0, shared_files=0)
    assert any("2 of 3 images name no patient" in said for said in remarks_on_data(here, some))
    every = some.model_copy(update={"nameless": 0})
    assert not any("name no patient" in said for said in remarks_on_data(here, every))
    unknown = every.model_copy(update={"patients_known": False})
    assert any("patients are not known" in said for said in remarks_on_data(here, unknown))


def test_no_text_for_users_words_a_set_as_exclusion() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "examples").rglob("*.md")]
    texts = [*pages, *(root / "templates").rglob("*.*"), *(root / "medimg_cli").rglob("*.py")]
    wrong = re.compile(
        r"cannot be\s+ruled\s+out|can be ruled out|ruled out does not|rules out", re.IGNORECASE
    )
    assert [
        str(path) for path in texts if path.is_file() and wrong.search(path.read_text("utf-8", "replace"))
    ] == []


def test_no_figure_waits_for_threads_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(_: ScoredPredictions) -> dict[str, dict[str, Estimate]]:
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return {}

    monkeypatch.setattr(evaluate, "per_class", counted)
    subject = two_classes(np.array([True, False] * 9), np.linspace(0, 1, 18))
    table = subject.here.table.assign(patient_id=subject.here.table["image_id"])
    recorded = Recorded(run="r", split="all", dataset_hash="", predictions_sha256="", weights_sha256="")
    leakage = Leakage(patients_known=False, shared_patients=0, shared_files=0)
    with threadpool_limits(2, "blas"):
        evaluate.evaluation_of(
            replace(subject, here=replace(subject.here, table=table)), recorded=recorded, leakage=leakage
        )
    assert seen and set(seen) == {1}


def test_a_decision_that_calls_every_image_or_none_is_said() -> None:
    truth = np.repeat([True, False], 40)
    same = two_classes(truth, np.full(80, 0.5), point=threshold(0.5)).here
    assert remarks_on_decisions(same) == [f"every image is called ill: {TELLS_NOTHING}"]
    above = two_classes(truth, np.full(80, 0.4), point=threshold(0.5)).here
    assert remarks_on_decisions(above) == [f"no image is called ill: {TELLS_NOTHING}"]
    told = two_classes(truth, np.where(truth, 0.9, 0.1), point=threshold(0.5)).here
    assert remarks_on_decisions(told) == []
    right = two_classes(np.ones(9, dtype=bool), np.full(9, 0.9), point=threshold(0.5)).here
    assert remarks_on_decisions(right) == [], "every image shows the disease"


def test_how_often_the_first_of_equally_probable_classes_is_called_is_said() -> None:
    truth, score = np.array([True, False, True]), np.array([0.5, 0.1, 0.9])
    (said,) = remarks_on_decisions(two_classes(truth, score).here)
    assert "of 1 image several classes are the most probable" in said
    assert remarks_on_decisions(two_classes(truth, score, point=threshold(0.3)).here) == []


def test_thresholds_chosen_on_next_to_nothing_are_named_with_their_reason() -> None:
    labels = LabelSpace(("bar", "dot", "rare", "cross"), several=True)
    rule = ThresholdRule("recall", 0.95)
    marks = np.zeros((40, 4), dtype=np.float32)
    marks[:20, 0] = marks[:3, 1] = marks[:, 3] = 1
    point = point_by(rule, labels, marks, np.random.default_rng(0).random((40, 4)), split="val")
    assert remarks_on_point(point, labels) == [
        "called at 0.5, as validation showed no image of them: rare",
        "chosen on fewer than 10 positive images, a threshold may lie anywhere: dot (3)",
        "chosen without a negative image, so that specificity was not known: cross",
    ]
    (said,) = remarks_on_point(OperatingPoint(), labels)
    assert "no threshold was given" in said
    unmet = OperatingPoint(unmet=dict.fromkeys(labels.classes, "too few"))
    assert remarks_on_point(unmet, labels)[0] == "the label bar is called at 0.5: too few"
    kept = OperatingPoint(thresholds={**point.thresholds}, unmet={"bar": "too few"})
    assert remarks_on_point(kept, labels)[0] == "the label bar keeps the model's own threshold: too few"
    alone = LabelSpace(("well", "ill"), "ill")
    one = point_by(rule, alone, np.array([0, 0, 1]), np.eye(3)[:, :2], split="val")
    assert "anywhere: ill (1)" in remarks_on_point(one, alone)[0]
