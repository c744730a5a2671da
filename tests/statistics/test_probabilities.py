"""From logits to probabilities: each kind against figures worked out another way."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from medimg_cli.statistics.probabilities import (
    AnswerKind,
    log_loss_of,
    of_grades,
    probabilities_from,
    questions_of,
    sigmoid,
    softmax,
)

LOGITS = np.random.default_rng(1).normal(0, 3, (200, 4))
GRADES = np.random.default_rng(2).integers(0, 4, 200)


@pytest.mark.parametrize("kind", ["softmax", "ordinal"])
def test_one_class_an_image_has_probabilities_that_sum_to_one(kind: AnswerKind) -> None:
    answers = probabilities_from(LOGITS, kind)
    assert answers.shape == LOGITS.shape
    assert answers.min() >= 0
    assert np.allclose(answers.sum(axis=1), 1)


def test_several_labels_have_a_probability_each() -> None:
    assert np.allclose(probabilities_from(LOGITS, "sigmoid"), expit(LOGITS))


def test_large_logits_do_no_harm() -> None:
    large = np.array([[1000.0, -1000.0, 0.0]])
    assert softmax(large).tolist() == [[1.0, 0.0, 0.0]]
    assert sigmoid(large).tolist() == [[1.0, 0.0, 0.5]]
    assert of_grades(large).tolist() == [[0.0, 1.0, 0.0]]


def test_the_chance_of_a_grade_is_that_of_passing_each_step_below_and_stopping_there() -> None:
    above = expit(LOGITS)
    by_hand = [
        1 - above[:, 0],
        above[:, 0] * (1 - above[:, 1]),
        above[:, 0] * above[:, 1] * (1 - above[:, 2]),
        above[:, 0] * above[:, 1] * above[:, 2],
    ]
    assert np.allclose(of_grades(LOGITS), np.stack(by_hand, axis=1))


def test_what_nobody_judged_has_no_part_in_the_loss() -> None:
    probabilities = np.array([[0.9, 0.2], [0.3, 0.6]])
    marks = np.array([[1, np.nan], [0, 1]], dtype=np.float32)
    assert log_loss_of(probabilities, marks) == pytest.approx(-np.log([0.9, 0.7, 0.6]).mean())
    assert np.isnan(log_loss_of(probabilities, np.full((2, 2), np.nan, dtype=np.float32)))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "ordinal"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_choices_are_as_likely_as_the_answers_they_stand_for(kind: AnswerKind, temperature: float) -> None:
    marks = (np.random.default_rng(3).random(LOGITS.shape) < 0.4).astype(np.float32)
    marks[np.random.default_rng(4).random(LOGITS.shape) < 0.2] = np.nan
    targets = marks if kind == "sigmoid" else GRADES
    logits, chosen = questions_of(LOGITS, targets, kind)
    likelihood = log_softmax(logits / temperature, axis=1)[np.arange(len(chosen)), chosen]
    known = int((~np.isnan(marks)).sum()) if kind == "sigmoid" else len(GRADES)
    whole = log_loss_of(probabilities_from(LOGITS / temperature, kind), targets)
    assert -likelihood.sum() / known == pytest.approx(whole)
