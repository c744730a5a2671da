"""Every rule takes the threshold it says, among all that the scores offer."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError, UsageError
from medimg_cli.predictions.operating_point import choose_threshold, operating_point, point_by, threshold_by
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule

GENERATOR = np.random.default_rng(5)
TRUTH = GENERATOR.random(300) < 0.3
SCORE: NDArray[np.float64] = np.round(np.clip(GENERATOR.normal(0.35 + 0.3 * TRUTH, 0.2), 0, 1), 2).astype(
    np.float64
)
RULES = (
    ThresholdRule("recall", 0.9),
    ThresholdRule("recall_bound", 0.9),
    ThresholdRule("specificity", 0.9),
    ThresholdRule("youden"),
    ThresholdRule("miss_cost", 5),
)


def chosen(rule: ThresholdRule, sampling: Sampling | None = None) -> Threshold:
    return threshold_by(rule, TRUTH, SCORE, split="val", sampling=sampling)


def at(threshold: float) -> tuple[float, float]:
    called = threshold <= SCORE
    return float(called[TRUTH].mean()), float((~called[~TRUTH]).mean())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_threshold_keeps_what_it_reached_where_it_was_chosen(rule: ThresholdRule) -> None:
    threshold = chosen(rule)
    assert (threshold.achieved_recall, threshold.achieved_specificity) == at(threshold.value)
    assert (threshold.rule, threshold.split) == (rule.words, "val")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_may_choose_on_test(rule: ThresholdRule) -> None:
    with pytest.raises(UsageError, match="test split"):
        threshold_by(rule, TRUTH, SCORE, split="test")


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95, 0.99])
def test_specificity_is_reached_by_the_lowest_threshold_that_can(wanted: float) -> None:
    threshold = chosen(ThresholdRule("specificity", wanted))
    reached = [value for value in np.unique(SCORE) if at(value)[1] >= wanted]
    assert threshold.value == min(reached)
    assert (threshold.target_recall, threshold.target_specificity) == (None, wanted)


def test_youdens_threshold_is_scikit_learns() -> None:
    alarms, found, values = roc_curve(TRUTH, SCORE, drop_intermediate=False)
    best = np.flatnonzero(np.isclose(found - alarms, (found - alarms).max()))
    assert chosen(ThresholdRule("youden")).value == values[best].min()


@pytest.mark.parametrize("cost", [0.5, 1, 5, 20])
def test_no_threshold_costs_less_than_the_one_of_least_cost(cost: float) -> None:
    def total(threshold: float) -> float:
        called = threshold <= SCORE
        return cost * int((TRUTH & ~called).sum()) + int((~TRUTH & called).sum())

    value = chosen(ThresholdRule("miss_cost", cost)).value
    costs = {each: total(each) for each in np.unique(SCORE)}
    assert value == min(each for each in costs if costs[each] == min(costs.values()))


def test_of_equal_thresholds_the_one_that_misses_fewer_is_taken() -> None:
    # At 0.8 one of two is found without a false alarm; at 0.4 both are, with one of two: the same sum, the same cost.
    truth, score = np.array([True, False, True, False]), np.array([0.8, 0.5, 0.4, 0.1])
    for rule in (ThresholdRule("youden"), ThresholdRule("miss_cost", 1)):
        assert threshold_by(rule, truth, score, split="val").value == 0.4


def test_where_a_miss_costs_next_to_nothing_calling_no_image_is_not_called_a_threshold() -> None:
    truth, score = np.array([False, True]), np.array([0.9, 0.8])
    with pytest.raises(DataError, match="calling no image at all"):
        threshold_by(ThresholdRule("miss_cost", 0.5), truth, score, split="val")


def test_the_lower_bound_is_wilsons_and_reached_by_the_highest_threshold_that_can() -> None:
    threshold = chosen(ThresholdRule("recall_bound", 0.85))
    count, n = int((SCORE[TRUTH] >= threshold.value).sum()), int(TRUTH.sum())
    higher = SCORE[TRUTH] >= np.nextafter(threshold.value, 1)
    assert wilson(count, n)[0] >= 0.85 > wilson(int(higher.sum()), n)[0]
    assert threshold.value < chosen(ThresholdRule("recall", 0.85)).value


def test_images_of_one_patient_count_less_for_the_lower_bound() -> None:
    places = np.empty(300, dtype=np.int64)
    places[np.argsort(-SCORE, kind="stable")] = np.arange(300)
    by_patient = Sampling([f"p{place // 10}" for place in places], 300)
    rule = ThresholdRule("recall_bound", 0.8)
    assert chosen(rule, by_patient).value < chosen(rule).value
    single = Sampling([f"p{index}" for index in range(300)], 300)
    assert chosen(rule, single) == chosen(rule)


def test_a_lower_bound_out_of_reach_is_refused_with_the_one_in_reach() -> None:
    truth, score = np.ones(30, dtype=bool), np.linspace(0.1, 0.9, 30)
    with pytest.raises(DataError, match=r"with all 30 positive images found it is 0\.886"):
        threshold_by(ThresholdRule("recall_bound", 0.9), truth, score, split="val")
    assert threshold_by(ThresholdRule("recall_bound", 0.88), truth, score, split="val").value == 0.1


def test_a_specificity_that_only_calling_nobody_reaches_is_refused() -> None:
    truth, score = np.array([True, False, False]), np.array([0.9, 0.9, 0.2])
    with pytest.raises(DataError, match="1 of 2 negative images share the highest score"):
        threshold_by(ThresholdRule("specificity", 0.9), truth, score, split="val")
    with pytest.raises(DataError, match="no negative image"):
        threshold_by(ThresholdRule("specificity", 0.9), truth[:1], score[:1], split="val")


def test_training_chooses_by_recall_as_ever() -> None:
    assert choose_threshold(TRUTH, SCORE, target_recall=0.9, split="val") == chosen(RULES[0])
    two = LabelSpace(("well", "ill"), "ill")
    probabilities = np.stack([1 - SCORE, SCORE], axis=1)
    targets = TRUTH.astype(np.int64)
    assert operating_point(two, targets, probabilities, target_recall=0.9, split="val").threshold == chosen(
        RULES[0]
    )


def test_each_label_has_its_own_threshold_and_one_without_says_why() -> None:
    several = LabelSpace(("often", "once", "never"), several=True)
    marks = np.zeros((300, 3), dtype=np.float32)
    marks[:, 0], marks[7, 1] = TRUTH, 1
    marks[:10, 0] = np.nan
    probabilities = np.stack([SCORE, SCORE, SCORE], axis=1)
    rule = ThresholdRule("recall_bound", 0.8)
    point = point_by(rule, several, marks, probabilities, split="val", sampling=Sampling(None, 300))
    assert set(point.thresholds) == {"often"}
    assert point.thresholds["often"] == threshold_by(rule, TRUTH[10:], SCORE[10:], split="val")
    assert list(point.unmet) == ["once"] and "all 1 positive" in point.unmet["once"]
