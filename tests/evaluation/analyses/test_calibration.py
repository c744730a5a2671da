"""How far probabilities can be taken at their word: definitions, and before and after the temperature."""

from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as reference

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.analyses.calibration import top_label_error
from medimg_cli.evaluation.results.calibration import Calibration
from medimg_cli.evaluation.summary import overall
from medimg_cli.statistics.probabilities import AnswerKind, probabilities_from
from medimg_cli.workspace.operating_settings import EvaluateSettings
from tests.evaluation.analyses.answers import at, one_of, several_of

GENERATOR = np.random.default_rng(8)
LOGITS = GENERATOR.normal(0, 2.5, (300, 3))
RAW = probabilities_from(LOGITS)
TRUTH = (GENERATOR.random((300, 1)) > probabilities_from(LOGITS / 2).cumsum(axis=1)).sum(axis=1)
PAIR = RAW[:, :2] / RAW[:, :2].sum(axis=1, keepdims=True)
MARKS = np.where(GENERATOR.random((300, 3)) < 0.2, np.nan, TRUTH[:, None] == np.arange(3)).astype(np.float32)


def calibrated(subject: Subject) -> Calibration:
    found = ANALYSES.get("calibration")(subject)
    assert isinstance(found, Calibration)
    return found


def test_the_top_label_error_is_that_of_torchmetrics() -> None:
    # Its documentation, MulticlassCalibrationError with three bins.
    probabilities = np.array([[0.25, 0.2, 0.55], [0.55, 0.05, 0.4], [0.1, 0.3, 0.6], [0.9, 0.05, 0.05]])
    assert top_label_error(probabilities, np.array([0, 1, 2, 0]), bins=3) == pytest.approx(0.2, abs=1e-12)


def test_two_classes_give_the_figures_of_the_positive_one() -> None:
    here = one_of(TRUTH.clip(max=1), PAIR, positive="b", point=at(0.4))
    found, metrics = calibrated(Subject(here)), overall(here)
    assert list(found.by_class) == ["b"]
    for name in ("brier", "log_loss", "ece"):
        assert getattr(found, name) == pytest.approx(metrics[name].value, abs=1e-6)
    assert found.by_class["b"].ece.value == found.class_wise_ece == pytest.approx(found.ece)
    assert "0 to 1" in found.definition


@pytest.mark.parametrize("positive", [None, "c"])
def test_the_brier_score_of_three_classes_is_summed_and_says_so(positive: str | None) -> None:
    here = one_of(TRUTH, RAW, positive=positive)
    found, metrics = calibrated(Subject(here)), overall(here)
    assert found.brier == pytest.approx(reference.brier_score_loss(TRUTH, RAW))
    assert found.log_loss == pytest.approx(reference.log_loss(TRUTH, RAW), abs=1e-6)
    for name, value in (("brier", found.brier), ("log_loss", found.log_loss)):
        assert metrics[name].value == pytest.approx(value)
        assert metrics[name].low is not None
    assert "0 to 2" in found.definition
    assert list(found.by_class) == ["a", "b", "c"]
    own = found.by_class["c"].ece.value
    assert found.ece == pytest.approx(top_label_error(RAW, TRUTH) if positive is None else own)
    errors = [each.ece.value or 0 for each in found.by_class.values()]
    assert found.class_wise_ece == pytest.approx(np.mean(errors))


def test_without_a_positive_one_of_two_classes_the_brier_score_is_still_that_of_one() -> None:
    found = calibrated(Subject(one_of(TRUTH.clip(max=1), PAIR)))
    assert found.brier == pytest.approx(reference.brier_score_loss(TRUTH.clip(max=1), PAIR[:, 1]))
    assert list(found.by_class) == ["a", "b"]


def test_a_network_twice_too_sure_has_half_the_slope() -> None:
    two = TRUTH < 2
    found = calibrated(Subject(one_of(TRUTH[two], PAIR[two], positive="b")))
    slope = found.by_class["b"].slope
    assert slope.low is not None and slope.high is not None
    assert slope.low < 0.5 < slope.high < 1


@pytest.mark.parametrize("kind", get_args(AnswerKind))
def test_uncalibrated_figures_are_those_of_the_logits_themselves(kind: AnswerKind) -> None:
    before, after = (probabilities_from(LOGITS / temperature, kind) for temperature in (1.0, 2.0))
    build = several_of if kind == "sigmoid" else one_of
    truth = MARKS if kind == "sigmoid" else TRUTH
    found = calibrated(Subject(build(truth, after), temperature=2.0, answers=kind))  # type: ignore[arg-type]
    plain = calibrated(Subject(build(truth, before)))  # type: ignore[arg-type]
    names = ("log_loss",) if kind == "sigmoid" else ("brier", "log_loss", "ece")
    assert found.uncalibrated == pytest.approx({name: getattr(plain, name) for name in names}, abs=1e-6)
    assert found.log_loss != pytest.approx(plain.log_loss, abs=1e-3)
    assert (found.temperature, found.remark) == (2.0, "")


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (Subject(one_of(TRUTH, RAW), temperature=1.5), "is not known"),
        (Subject(one_of(TRUTH, RAW), answers="softmax"), "of its own"),
        (
            Subject(one_of(TRUTH, RAW), EvaluateSettings(tta=True), temperature=1.5, answers="softmax"),
            "several views",
        ),
    ],
)
def test_where_the_temperature_cannot_be_taken_back_the_reason_is_given(subject: Subject, said: str) -> None:
    found = calibrated(subject)
    assert found.uncalibrated == {} and said in found.remark


def test_each_of_several_labels_is_measured_where_it_was_judged() -> None:
    scores = probabilities_from(LOGITS, "sigmoid")
    found = calibrated(Subject(several_of(MARKS, scores)))
    for index, name in enumerate("abc"):
        known = ~np.isnan(MARKS[:, index])
        brier = found.by_class[name].brier
        assert brier.n == known.sum()
        assert brier.value == pytest.approx(
            reference.brier_score_loss(MARKS[known, index] == 1, scores[known, index])
        )
    assert (found.brier, found.ece, found.definition) == (None, None, "")
    stated = calibrated(Subject(several_of(MARKS, scores, positive="b")))
    assert stated.brier == pytest.approx(found.by_class["b"].brier.value)
    assert stated.ece == pytest.approx(found.by_class["b"].ece.value)
    assert stated.log_loss == found.log_loss
