"""Whether recall kept what validation promised, and what changed beyond chance."""

from dataclasses import replace

import numpy as np
import pytest

from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.contract import contract
from medimg_cli.evaluation.results.decisions import Contract
from medimg_cli.predictions.operating_point import OperatingPoint, threshold_by
from medimg_cli.workspace.operating_settings import ThresholdRule
from tests.evaluation.subjects import two_classes

GENERATOR = np.random.default_rng(8)
AIM = ThresholdRule("recall", 0.9)


def drawn(positives: int, negatives: int, *, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and score: negatives about 0.3 + shift, positives about 0.7."""
    truth = np.r_[np.ones(positives, bool), np.zeros(negatives, bool)]
    centre = np.where(truth, 0.7, 0.3 + shift)
    return truth, GENERATOR.normal(centre, 0.12).clip(0, 1)


def study(here: tuple[np.ndarray, np.ndarray], rule: ThresholdRule = AIM) -> Subject:
    """Return a test whose threshold was chosen on 200 positives and as many negatives of validation."""
    truth, score = drawn(200, 200)
    point = OperatingPoint(threshold_by(rule, truth, score, split="val"))
    val = two_classes(truth, score, point=point)
    return replace(two_classes(*here, point=point), tuning=val.here)


def of(subject: Subject) -> Contract:
    found = contract(subject)
    assert isinstance(found, Contract)
    return found


def test_shifted_negatives_are_a_change_of_specificity_alone() -> None:
    found = of(study(drawn(300, 300, shift=0.15)))
    beyond = {name: one.beyond_chance for name, one in found.change.items()}
    assert beyond == {"recall": False, "specificity": True, "auroc": True}
    assert found.change["specificity"].difference.value == pytest.approx(
        (found.change["specificity"].here.value or 0) - (found.change["specificity"].val.value or 0)
    )
    assert "specificity" in found.outcome and "recall 0" not in found.outcome.split(";")[1]


@pytest.mark.parametrize(
    ("called", "of_all", "verdict"),
    [
        (99, 100, "met"),
        (70, 100, "missed"),
        (91, 100, "cannot be told"),
        (9, 10, "cannot be told"),
        (0, 0, ""),
    ],
)
def test_the_verdict_is_the_intervals(called: int, of_all: int, verdict: str) -> None:
    truth = np.r_[np.ones(of_all, bool), np.zeros(50, bool)]
    score = np.r_[np.ones(called), np.zeros(of_all - called), np.zeros(50)]
    assert of(study((truth, score))).verdict == verdict


def test_chance_alone_is_seldom_called_a_change() -> None:
    alarms = [any(one.beyond_chance for one in of(study(drawn(150, 150))).change.values()) for _ in range(60)]
    assert sum(alarms) <= 15  # of three figures at 5 % each


def test_a_rule_without_a_target_has_no_verdict_but_an_expectation() -> None:
    found = of(study(drawn(100, 100), ThresholdRule("youden")))
    assert (found.target, found.verdict, found.reaches, found.least_for_bound) == (None, "", None, None)
    assert found.expected is not None
    assert found.expected.low < found.expected.high
    assert found.promise.startswith("from 200 positives: expected recall ")


def test_without_a_threshold_there_is_no_contract() -> None:
    assert contract(two_classes([True, False], [0.9, 0.1])) == "no threshold decides on ill"
