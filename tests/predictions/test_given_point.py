"""A threshold that was fixed in advance."""

import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.predictions.operating_point import given_point


def test_it_was_chosen_on_no_split_and_has_no_figures() -> None:
    point = given_point(LabelSpace(("a", "b"), "b"), 0.3)
    assert point.threshold is not None
    assert (point.threshold.value, point.threshold.rule, point.threshold.split) == (0.3, "given", "")
    assert point.figures() == {"recall_at_threshold": None, "specificity_at_threshold": None}


def test_several_labels_share_it() -> None:
    point = given_point(LabelSpace(("a", "b"), several=True), 0.3)
    assert {name: each.value for name, each in point.thresholds.items()} == {"a": 0.3, "b": 0.3}


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_it_needs_a_positive_class(classes: tuple[str, ...]) -> None:
    assert given_point(LabelSpace(classes, "b"), 0.3).threshold is not None
    with pytest.raises(UsageError, match=r"--threshold 0\.3 needs a positive class"):
        given_point(LabelSpace(classes), 0.3)
