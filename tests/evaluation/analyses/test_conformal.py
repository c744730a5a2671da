"""Sets of classes: counted by hand, by class and by patient."""

import numpy as np
import pytest

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.results.calibration import Conformal
from medimg_cli.statistics.intervals import wilson
from medimg_cli.workspace.operating_settings import EvaluateSettings
from tests.evaluation.analyses.answers import one_of, several_of

# Validation: nine images of a at 0.5 … 0.9, so that the least of them is the quantile, and one image of b.
TUNING = one_of(
    np.array([0] * 9 + [1]), np.stack([np.r_[np.linspace(0.5, 0.9, 9), 0.2], np.r_[np.zeros(9), 0.8]], axis=1)
)
NARROW = one_of(
    np.repeat([0, 1], 9), np.stack([np.r_[[0.7] * 9, [0.3] * 9], np.r_[[0.3] * 9, [0.7] * 9]], axis=1)
)
HERE = one_of(
    np.array([0, 0, 0, 1, 1]), np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.69, 0.31]])
)


def sets(subject: Subject) -> Conformal:
    found = ANALYSES.get("conformal")(subject)
    assert isinstance(found, Conformal)
    return found


def test_coverage_and_sizes_are_counted() -> None:
    # From 0.7 on a class is in: {a}, {a}, {}, {b}, {}.
    found = sets(Subject(HERE, tuning=NARROW))
    assert found.thresholds == {"a": 0.7, "b": 0.7} and found.calibrated_on == {"a": 9, "b": 9}
    assert (found.coverage.count, found.coverage.n) == (3, 5)
    assert (found.coverage.low, found.coverage.high) == wilson(3, 5)
    assert {name: (each.count, each.n) for name, each in found.by_class.items()} == {"a": (2, 3), "b": (1, 2)}
    assert (found.singletons.count, found.empties.count, found.mean_size) == (3, 2, 0.6)


def test_a_class_with_too_few_images_on_validation_stands_in_every_set() -> None:
    found = sets(Subject(HERE, tuning=TUNING))
    assert found.thresholds == {"a": 0.5, "b": 0.0} and found.calibrated_on == {"a": 9, "b": 1}
    assert found.by_class["b"].value == 1.0
    assert found.mean_size == pytest.approx(1 + 3 / 5)


def test_alpha_is_a_setting() -> None:
    found = sets(Subject(HERE, EvaluateSettings(alpha=0.5), tuning=TUNING))
    assert found.alpha == 0.5
    assert found.thresholds == pytest.approx({"a": 0.7, "b": 0.8})


def test_a_class_that_does_not_occur_has_no_coverage() -> None:
    found = sets(Subject(one_of(np.zeros(3, np.int64), np.full((3, 2), 0.5)), tuning=TUNING))
    assert (found.by_class["b"].value, found.by_class["b"].reason) == (None, "no image of this class")


def test_patients_are_drawn_with_all_their_images() -> None:
    truth = np.tile(HERE.truth, 20)
    patients = [f"p{place // 5}" for place in range(100)]
    found = sets(
        Subject(one_of(truth, np.tile(HERE.probabilities, (20, 1)), patients=patients), tuning=NARROW)
    )
    # All patients are alike, so that their spread shows nothing: as of 20 images.
    assert found.coverage.method == found.by_class["a"].method == "Wilson by patient, 20 patients"
    assert found.by_class["a"].high - found.by_class["a"].low > 0.35  # type: ignore[operator]
    assert (found.by_class["a"].count, found.by_class["a"].n) == (40, 60)


def test_without_validation_or_with_several_labels_the_reason_is_given() -> None:
    labels = several_of(np.ones((2, 2), np.float32), np.full((2, 2), 0.5))
    for subject, said in ((Subject(HERE), "validation"), (Subject(labels, tuning=labels), "several labels")):
        found = ANALYSES.get("conformal")(subject)
        assert isinstance(found, str) and said in found
