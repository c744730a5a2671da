"""What a threshold chosen on k positives promises."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.predictions.operating_point import operating_point, threshold_by
from medimg_cli.predictions.threshold_choice import (
    NoThresholdError,
    Positives,
    least_for_assurance,
    least_for_bound,
    positives_of,
    promise_of,
)
from medimg_cli.statistics.intervals import clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule, rule_in_words

ASSURED = ThresholdRule("recall_assured", 0.95, 0.9)


@pytest.mark.parametrize(("k", "found"), [(20, 19), (40, 40), (97, 90)])
def test_the_recall_to_come_is_that_of_an_order_statistic(k: int, found: int) -> None:
    independent = Positives(k, k, float(k))
    generator = np.random.default_rng(k)
    lowest_called = np.sort(generator.normal(size=(20_000, k)), axis=1)[:, k - found]
    recall = norm.sf(lowest_called)
    low, high = independent.expected(found)
    assert np.mean((recall >= low) & (recall <= high)) == pytest.approx(0.95, abs=0.006)
    assert independent.reaches(found, 0.95) == pytest.approx(np.mean(recall >= 0.95), abs=0.012)


@pytest.mark.parametrize("k", [45, 73, 160, 400])
def test_an_assured_threshold_is_the_exact_binomial_one(k: int) -> None:
    score = np.random.default_rng(1).random(k)
    found = round(k * (threshold_by(ASSURED, np.ones(k, bool), score, split="val").achieved_recall or 0))
    assert (
        binom.sf(found - 1, k, 0.95) <= 0.1
    )  # so many would be found by chance were the recall just short of it
    assert binom.sf(found - 2, k, 0.95) > 0.1  # and one fewer would not be enough


@pytest.mark.parametrize(("target", "assurance"), [(0.95, 0.9), (0.9, 0.8), (0.99, 0.5)])
def test_with_too_few_positives_an_assured_threshold_is_refused(target: float, assurance: float) -> None:
    least = least_for_assurance(target, assurance)
    rule = ThresholdRule("recall_assured", target, assurance)
    for k in (least, least - 1):
        score = np.linspace(0.1, 0.9, k)
        if k == least:
            assert threshold_by(rule, np.ones(k, bool), score, split="val").achieved_recall == 1
        else:
            with pytest.raises(NoThresholdError, match=f"it takes {least} independent ones"):
                threshold_by(rule, np.ones(k, bool), score, split="val")


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.99])
def test_below_so_many_positives_no_bound_reaches_the_target(target: float) -> None:
    for exact, interval in ((False, wilson), (True, clopper_pearson)):
        least = least_for_bound(target, exact=exact)
        assert least is not None
        assert interval(least, least)[0] >= target > interval(least - 1, least - 1)[0]
    assert least_for_bound(1.0) is None


def test_images_of_a_patient_that_say_the_same_count_once() -> None:
    score = np.random.default_rng(3).random(60)
    single = threshold_by(ASSURED, np.ones(60, bool), score, split="val")
    copied, patients = np.repeat(score, 4), np.repeat(np.arange(60), 4)
    again = threshold_by(ASSURED, np.ones(240, bool), copied, split="val", sampling=Sampling(patients, 240))
    assert again.value == single.value
    assert again.expected_recall == pytest.approx(single.expected_recall)
    assert (single.positives, again.positives) == ((60, 60), (240, 60))
    unknown = threshold_by(ASSURED, np.ones(240, bool), copied, split="val")
    assert unknown.value > single.value


def test_unlike_images_of_a_patient_count_nearly_in_full() -> None:
    score = np.random.default_rng(4).random(400)
    assert positives_of(score, Sampling(np.repeat(np.arange(200), 2), 400)).effective > 330
    assert positives_of(score, Sampling(np.zeros(400, dtype=np.int64), 400)).effective == 1


def test_the_promise_says_what_may_be_expected_and_what_cannot_be_had() -> None:
    truth = np.ones(40, bool)
    threshold = threshold_by(ThresholdRule("recall", 0.95), truth, np.linspace(0, 1, 40), split="val")
    said = promise_of(threshold)
    assert said.startswith("from 40 positives: expected recall 83–98 %, 0.95 or more with probability 0.32")
    assert "below 73 positives a lower bound of 0.95 cannot be reached" in said
    many = threshold_by(
        ThresholdRule("recall", 0.95), np.ones(400, bool), np.linspace(0, 1, 400), split="val"
    )
    assert "cannot be reached" not in promise_of(many)
    assert promise_of(threshold.model_copy(update={"positives": None})) == ""


@pytest.mark.parametrize(
    "rule",
    [
        ThresholdRule("recall", 0.95),
        ASSURED,
        ThresholdRule("recall_bound", 0.9),
        ThresholdRule("specificity", 0.125),
        ThresholdRule("youden"),
        ThresholdRule("miss_cost", 1e-05),
    ],
)
def test_a_rule_is_read_back_from_its_words(rule: ThresholdRule) -> None:
    assert rule_in_words(rule.words) == rule
    assert rule_in_words("given") is None


def test_training_without_enough_positives_calls_all_of_them_and_says_so() -> None:
    labels = LabelSpace(("well", "ill"), "ill")
    targets = np.r_[np.ones(30, dtype=np.int64), np.zeros(50, dtype=np.int64)]
    score = np.random.default_rng(6).random(80)
    scores = np.stack([1 - score, score], axis=1)
    chosen: dict[str, Any] = {"target_recall": 0.95, "split": "val", "assurance": 0.9}
    threshold = operating_point(labels, targets, scores, **chosen).threshold
    assert threshold is not None
    assert (threshold.value, threshold.achieved_recall) == (score[:30].min(), 1.0)
    assert "which so few positives cannot give" in threshold.rule
    both = LabelSpace(("common", "rare"), several=True)
    marks = np.stack([np.r_[np.ones(60), np.zeros(20)], np.r_[np.ones(10), np.zeros(70)]], axis=1)
    found = operating_point(both, marks.astype(np.float32), np.stack([score, score], axis=1), **chosen)
    assert "cannot give" not in found.thresholds["common"].rule
    assert "cannot give" in found.thresholds["rare"].rule
