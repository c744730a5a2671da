"""Classes: order, spelling, and which of them is the disease."""

import numpy as np
import pytest

from medimg_cli.dataset.labels import LabelSpace, guess_positive, natural_order
from medimg_cli.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "b", "1"], ["1", "9", "10", "b"]),
        (["grade10", "grade2", "grade2"], ["grade2", "grade10"]),
        (["b", "A", "a"], ["A", "a", "b"]),
        (["01", "1", "001"], ["001", "01", "1"]),
        (["x²", "²", "①"], ["x²", "²", "①"]),
        ([], []),
    ],
)
def test_names_are_ordered_as_people_do(names: list[str], ordered: list[str]) -> None:
    assert natural_order(names) == ordered


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (["NORMAL", "PNEUMONIA"], "PNEUMONIA"),
        (["benign", "malignant"], "malignant"),
        (["malignant", "normal, benign"], "malignant"),
        (["No Finding", "Effusion"], "Effusion"),
        (["0", "1"], "1"),
        (["benign", "normal"], None),
        (["cat", "dog"], None),
        (["benign", "malignant", "normal"], None),
        (["normal, swollen", "malignant"], None),
    ],
)
def test_the_disease_is_guessed_only_beside_one_plainly_healthy_class(
    classes: list[str], positive: str | None
) -> None:
    assert guess_positive(classes) == positive


def test_labels_are_encoded_in_the_order_of_the_classes() -> None:
    space = LabelSpace(("b", "a"), positive="a")
    assert space.encode(["a", "b", "a"]).tolist() == [1, 0, 1]
    assert space.encode([]).dtype == np.int64
    assert space.positive_index == 1
    assert LabelSpace(("a", "b")).positive_index is None


def test_an_unknown_label_or_positive_class_proposes_the_nearest() -> None:
    with pytest.raises(DataError) as data_error:
        LabelSpace(("NORMAL", "PNEUMONIA")).encode(["PNEUMONI"])
    assert data_error.value.hint == "did you mean 'PNEUMONIA'?"
    with pytest.raises(UsageError) as usage_error:
        LabelSpace(("NORMAL", "PNEUMONIA"), positive="NORMA")
    assert usage_error.value.hint == "did you mean 'NORMAL'?"


@pytest.mark.parametrize("written", ["a,b", "a, b", " a ,b,", "a,b,a"])
def test_several_positive_classes_have_one_name_however_they_are_written(written: str) -> None:
    space = LabelSpace(("a", "b", "c"), positive=written)
    assert (space.positive, space.positives) == ("a,b", ("a", "b"))
    assert LabelSpace(("a,b", "c"), positive="a,b").positives == ("a,b",)
