"""Several labels an image: marks, calls and what a table of predictions holds of them."""

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.operating_point import OperatingPoint, operating_point
from medimg_cli.predictions.predictions import marks_of, truth_columns

LABELS = LabelSpace(("edema", "mass", "rib"), several=True)
NAN = float("nan")


def test_marks_say_what_is_there_what_is_not_and_what_nobody_judged() -> None:
    marks = LABELS.marks(["edema|mass", "", "mass"], ["", "rib|edema", "mass"])
    expected = [[1, 1, 0], [NAN, 0, NAN], [0, 1, 0]]
    assert np.array_equal(marks, np.array(expected, dtype=np.float32), equal_nan=True)


def test_a_mark_that_is_no_class_is_named() -> None:
    with pytest.raises(DataError, match="label 'mas' is not one of the classes"):
        LABELS.marks(["mas"])


def test_the_columns_of_a_table_give_the_marks_again() -> None:
    marks = LABELS.marks(["edema", ""], ["", "rib"])
    table = pd.DataFrame(truth_columns(marks, LABELS.classes))
    assert table["y_true_rib"].tolist() == ["0", ""]
    assert np.array_equal(marks_of(table, LABELS.classes), marks, equal_nan=True)


@pytest.mark.parametrize(
    ("cell", "what"), [("2", "y_true_rib holds '2'"), (None, "lack the column 'y_true_rib'")]
)
def test_a_table_of_another_form_is_refused(cell: str | None, what: str) -> None:
    table = pd.DataFrame(
        {"y_true_edema": ["1"], "y_true_mass": ["0"]} | ({"y_true_rib": [cell]} if cell else {})
    )
    with pytest.raises(DataError, match=what):
        marks_of(table, LABELS.classes)


def test_each_label_gets_the_threshold_that_its_own_known_images_call_for() -> None:
    marks = np.array([[1, 0, NAN], [1, 1, 0], [0, NAN, 0], [NAN, 0, NAN]], dtype=np.float32)
    scores = np.array([[0.9, 0.8, 0.9], [0.4, 0.7, 0.1], [0.6, 0.1, 0.2], [0.1, 0.2, 0.9]])
    point = operating_point(LABELS, marks, scores, target_recall=1.0, split="val")
    assert {name: each.value for name, each in point.thresholds.items()} == {"edema": 0.4, "mass": 0.7}
    assert point.thresholds["edema"].achieved_specificity == 0
    assert point.thresholds["mass"].achieved_specificity == 0.5
    assert point.figures() == {"recall_at_threshold": 1.0, "specificity_at_threshold": 0.25}
    assert decide(scores, LABELS, thresholds=point.thresholds).names == [
        "edema|mass|rib",
        "edema|mass",
        "edema",
        "rib",
    ]


def test_one_label_an_image_has_one_threshold_or_none() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    targets = np.array([0, 1])
    two = operating_point(LabelSpace(("well", "ill"), "ill"), targets, scores, target_recall=0.9, split="val")
    assert two.threshold is not None
    assert two.threshold.value == 0.8
    assert (
        operating_point(LabelSpace(("a", "b")), targets, scores, target_recall=0.9, split="val")
        == OperatingPoint()
    )
