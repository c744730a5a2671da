"""Sensitivity at a specificity and the reverse: scikit-learn's curve, and intervals that know thresholds are chosen."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from medimg_cli.evaluation.analyses.operating import kept_at, trade_offs_of
from medimg_cli.evaluation.metrics import OneVsRest
from medimg_cli.evaluation.results.decisions import TradeOff
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import Sampling

GENERATOR = np.random.default_rng(21)
TRUTH = GENERATOR.random(900) < 0.3
SCORE = 1 / (1 + np.exp(-GENERATOR.normal(-1 + 2 * TRUTH, 1)))
ROUGH = np.round(SCORE, 2)


def trade_offs(score: NDArray[np.float64], sampling: Sampling | None = None) -> tuple[TradeOff, ...]:
    return trade_offs_of(OneVsRest(TRUTH, score, score >= 0.5, sampling))


def free(trade_off: TradeOff) -> Estimate:
    """Return the figure that is not fixed."""
    return trade_off.recall if trade_off.fixed == "specificity" else trade_off.specificity


def test_these_are_asked_for() -> None:
    asked = [(each.fixed, each.wanted) for each in trade_offs(ROUGH)]
    assert asked == [
        ("specificity", 0.9),
        ("specificity", 0.95),
        ("recall", 0.9),
        ("recall", 0.95),
        ("recall", 0.99),
    ]


@pytest.mark.parametrize("score", [SCORE, ROUGH], ids=["distinct", "tied"])
def test_the_values_lie_on_scikit_learns_curve(score: NDArray[np.float64]) -> None:
    alarms, found, _ = roc_curve(TRUTH, score, drop_intermediate=False)
    for each in trade_offs(score):
        if each.fixed == "specificity":
            expected = found[1 - alarms >= each.wanted - 1e-12].max()
        else:
            expected = (1 - alarms)[found >= each.wanted - 1e-12].max()
        assert free(each).value == pytest.approx(expected, abs=1e-12)
        assert each.threshold is not None
        called = score >= each.threshold
        assert (each.recall.value, each.specificity.value) == (called[TRUTH].mean(), (~called[~TRUTH]).mean())


def by_hand(score: NDArray[np.float64], replicates: int) -> NDArray[np.float64]:
    """Return the interval (5, 2) of each trade-off, images drawn one by one and the curve computed anew."""
    generator, rows = np.random.default_rng(8), []
    for _ in range(replicates):
        drawn = generator.integers(0, len(TRUTH), len(TRUTH))
        alarms, found, _ = roc_curve(TRUTH[drawn], score[drawn], drop_intermediate=False)
        at_specificity = [found[1 - alarms >= wanted - 1e-12].max() for wanted in (0.9, 0.95)]
        rows.append(
            at_specificity + [(1 - alarms)[found >= wanted - 1e-12].max() for wanted in (0.9, 0.95, 0.99)]
        )
    return np.quantile(np.array(rows), [0.025, 0.975], axis=0).T


@pytest.mark.parametrize("score", [SCORE, ROUGH], ids=["levels", "exact"])
def test_the_interval_is_that_of_drawing_images_and_choosing_thresholds_anew(
    score: NDArray[np.float64],
) -> None:
    found = np.array([(free(each).low, free(each).high) for each in trade_offs(score)])
    assert found == pytest.approx(by_hand(score, 1000), abs=0.02)


def test_the_fixed_figure_has_no_interval_and_the_other_one_is_drawn() -> None:
    for each in trade_offs(SCORE)[:-1]:
        fixed = each.specificity if each.fixed == "specificity" else each.recall
        assert (fixed.low, fixed.method) == (None, "")
        assert fixed.value is not None and fixed.value >= each.wanted
        assert free(each).method == "bootstrap of images, 2,000 replicates, threshold chosen anew in each"


def test_patients_with_copies_of_their_image_get_the_interval_of_single_images() -> None:
    copies = Sampling([f"p{index}" for index in range(900)] * 3, 2700)
    tripled = trade_offs_of(OneVsRest(np.tile(TRUTH, 3), np.tile(SCORE, 3), np.tile(SCORE >= 0.5, 3), copies))
    for once, thrice in zip(trade_offs(SCORE), tripled, strict=True):
        one, three = free(once), free(thrice)
        assert three.value == pytest.approx(one.value)
        assert None not in (one.low, one.high, three.low, three.high)
        assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.2)  # type: ignore[operator]
        assert three.method.startswith("bootstrap of patients")


def test_a_perfect_score_has_the_interval_of_a_share_not_none() -> None:
    perfect = trade_offs(TRUTH.astype(np.float64))
    assert all((free(each).value, free(each).method) == (1.0, "Wilson") for each in perfect)
    by_two = Sampling([f"p{index // 2}" for index in range(900)], 900)
    assert free(trade_offs(TRUTH.astype(np.float64), by_two)[0]).method.startswith("Wilson by patient")


def test_a_specificity_that_only_calling_nobody_reaches_is_undefined() -> None:
    view = OneVsRest(np.array([True, False]), np.array([0.5, 0.5]), np.array([True, True]))
    first, *_, last = trade_offs_of(view)
    assert (first.threshold, first.recall.value, first.specificity.value) == (None, None, None)
    assert first.recall.reason == "the highest score alone calls too many of the others"
    assert (last.threshold, last.specificity.value) == (0.5, 0.0)


def test_a_level_is_taken_whole_unless_smoothed() -> None:
    tables = np.array([[[1.0, 2.0], [2.0, 4.0], [7.0, 4.0]], [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    whole, smooth = (kept_at(tables, (0.8, 0.7), smooth=smooth) for smooth in (False, True))
    assert whole[0].tolist() == [0.2, 0.6]
    assert smooth[0] == pytest.approx([0.4, 0.6])
    assert np.isnan(whole[1]).all() and np.isnan(smooth[1]).all()
