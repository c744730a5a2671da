"""What becomes of the rest when uncertain images go to a reader."""

import numpy as np
import pytest

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.analyses.abstention import certainty_of
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.calibration import Abstention
from medimg_cli.evaluation.summary import overall
from medimg_cli.statistics.intervals import wilson
from tests.evaluation.analyses.answers import at, one_of, several_of

GENERATOR = np.random.default_rng(13)
N = 240
TRUTH = GENERATOR.integers(0, 3, N)
LOGITS = GENERATOR.normal(0, 1, (N, 3)) + 1.3 * np.eye(3)[TRUTH]
RAW = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
SCORE = RAW[:, 1]
PAIR = np.stack([1 - SCORE, SCORE], axis=1)
ILL = (TRUTH == 1).astype(np.int64)
PATIENTS = [f"p{place // 4}" for place in range(N)]


def held_back(here: ScoredPredictions) -> Abstention:
    found = ANALYSES.get("abstention")(Subject(here))
    assert isinstance(found, Abstention)
    return found


def test_the_hand_computed_curve() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    found = held_back(one_of(np.array([0, 0, 1, 0]), probabilities))
    assert found.coverage == (0.25, 0.5, 0.75, 1.0)
    assert found.risk == pytest.approx((0, 0, 1 / 3, 1 / 4))
    assert found.aurc == pytest.approx(7 / 48)
    assert found.certainty == "the highest probability"


def test_near_the_threshold_is_uncertain_whatever_the_probability() -> None:
    here = one_of(ILL, PAIR, positive="b", point=at(0.1))
    certainty, words = certainty_of(here)
    odds = SCORE / (1 - SCORE) * 9
    assert certainty == pytest.approx(np.abs(np.log(odds)))
    assert "probability of b from the threshold" in words


@pytest.mark.parametrize("step", range(6))
def test_recall_and_error_of_the_rest_are_those_of_the_images_left(step: int) -> None:
    here = one_of(ILL, PAIR, positive="b", point=at(0.3))
    rest, certainty = held_back(here).referrals[step], certainty_of(here)[0]
    referred = [0, 12, 24, 48, 72, 120][step]
    left = np.sort(np.argsort(-certainty, kind="stable")[: N - referred])
    ill, called = ILL[left] == 1, SCORE[left] >= 0.3
    assert (rest.referred, rest.missed) == (referred, (ill & ~called).sum())
    assert (rest.recall.count, rest.recall.n) == ((ill & called).sum(), ill.sum())
    assert (rest.recall.low, rest.recall.high) == wilson(int((ill & called).sum()), int(ill.sum()))
    assert (rest.error.count, rest.error.n) == ((ill != called).sum(), N - referred)


def test_nothing_referred_leaves_the_metrics_as_they_are() -> None:
    for patients in (None, PATIENTS):
        here = one_of(ILL, PAIR, positive="b", point=at(0.3), patients=patients)
        rest, metrics = held_back(here).referrals[0], overall(here)
        assert rest.recall == metrics["recall"]
        assert 1 - (rest.error.value or 0) == pytest.approx(metrics["accuracy"].value)
    three = held_back(one_of(TRUTH, RAW)).referrals[0]
    macro = overall(one_of(TRUTH, RAW))["macro_recall"]
    assert three.recall.value == pytest.approx(macro.value)
    assert three.recall.high == pytest.approx(macro.high, abs=0.01)
    assert three.missed is None


def test_patients_are_drawn_with_the_images_that_are_left() -> None:
    tripled = np.tile(np.arange(N), 3)
    here = one_of(
        ILL[tripled], PAIR[tripled], positive="b", point=at(0.3), patients=[f"p{place}" for place in tripled]
    )
    rest = held_back(here).referrals[2]
    assert rest.recall.method == f"Wilson by patient, {rest.recall.n // 3} patients"
    assert rest.recall.design_effect == pytest.approx(3, rel=0.15)
    assert rest.error.design_effect == pytest.approx(3, rel=0.15)


def test_a_class_of_which_no_image_is_left_has_no_recall() -> None:
    truth = np.array([0] * 9 + [1])
    score = np.r_[np.linspace(0.01, 0.2, 9), 0.55]
    here = one_of(truth, np.stack([1 - score, score], axis=1), positive="b", point=at(0.5))
    rest = held_back(here).referrals[2]
    assert (rest.referred, rest.recall.value, rest.missed) == (1, None, 0)
    assert rest.recall.reason == "no image of this class is left"
    assert rest.error.value == 0


def test_the_curve_has_at_most_200_points_and_ends_at_the_error_of_all() -> None:
    found = held_back(one_of(TRUTH, RAW))
    assert len(found.coverage) == len(found.risk) == 200
    assert found.coverage[-1] == 1.0
    assert found.risk[-1] == pytest.approx(np.mean(RAW.argmax(axis=1) != TRUTH))


def test_several_labels_have_no_certainty_of_the_image() -> None:
    found = ANALYSES.get("abstention")(Subject(several_of(np.ones((2, 3), np.float32), RAW[:2])))
    assert isinstance(found, str) and "several labels" in found
