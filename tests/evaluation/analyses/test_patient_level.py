"""Patients: called by the highest, or the mean, probability of their images."""

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.decisions import PatientLevels
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import Sampling

THRESHOLD = Threshold(value=0.5, rule="", split="val", achieved_recall=1.0, achieved_specificity=1.0)
# Patient, label, probability of "ill": by the highest, z is missed and well w called; by the mean, x is missed too.
IMAGES = [
    ("x", "ill", 0.6), ("x", "well", 0.1),
    ("w", "well", 0.5), ("w", "well", 0.4),
    ("y", "ill", 0.9),
    ("z", "ill", 0.3), ("z", "ill", 0.2),
    ("v", "well", 0.1),
]  # fmt: skip


def subject(
    *, positive: str | None = "ill", threshold: Threshold | None = THRESHOLD, known: bool = True
) -> Subject:
    patients, labels, scores = zip(*IMAGES, strict=True)
    score = np.array(scores)
    table = pd.DataFrame({"image_id": range(8), "patient_id": patients, "y_true": labels})
    table = table.assign(prob_well=1 - score, prob_ill=score)
    sampling = Sampling(patients if known else None, 8)
    return Subject(
        ScoredPredictions(table, LabelSpace(("well", "ill"), positive), OperatingPoint(threshold), sampling)
    )


def levels(asked: Subject) -> PatientLevels:
    found = ANALYSES.get("patient_level")(asked)
    assert isinstance(found, PatientLevels)
    return found


def test_patients_count_once_by_the_highest_and_by_the_mean() -> None:
    highest, mean = levels(subject()).levels
    assert (highest.rule, highest.n, highest.positives) == ("max", 5, 3)
    shares = {name: (each.count, each.n) for name, each in highest.metrics.items() if name != "auroc"}
    assert shares == {"recall": (2, 3), "specificity": (1, 2), "precision": (2, 3), "npv": (1, 2)}
    assert highest.metrics["auroc"].value == pytest.approx(5 / 6)
    assert highest.missed == ("z",)
    assert mean.rule == "mean"
    assert (mean.metrics["recall"].count, mean.metrics["specificity"].count) == (1, 2)
    assert mean.missed == ("z", "x")  # the most confident miss first


def test_patients_are_independent_of_each_other() -> None:
    recall = levels(subject()).levels[0].metrics["recall"]
    assert (recall.low, recall.high) == wilson(2, 3)
    assert recall.method == "Wilson"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (subject(positive=None, threshold=None), "no positive class was stated"),
        (subject(threshold=None), "no threshold decides on ill"),
        (subject(known=False), "patients are not known, or none has several images"),
    ],
)
def test_it_says_why_there_is_none(asked: Subject, why: str) -> None:
    assert ANALYSES.get("patient_level")(asked) == why


def test_of_several_labels_only_judged_images_count() -> None:
    patients, _, scores = zip(*IMAGES, strict=True)
    marks = ["", "", "0", "0", "1", "1", "", "0"]
    table = pd.DataFrame(
        {"image_id": range(8), "patient_id": patients, "y_true_ill": marks, "y_true_old": "0"}
    )
    table = table.assign(prob_ill=scores, prob_old=0.1)
    labels = LabelSpace(("ill", "old"), "ill", several=True)
    point = OperatingPoint(thresholds={"ill": THRESHOLD})
    found = levels(Subject(ScoredPredictions(table, labels, point, Sampling(patients, 8)))).levels[0]
    assert (found.n, found.positives, found.metrics["recall"].count, found.missed) == (4, 2, 1, ("z",))
