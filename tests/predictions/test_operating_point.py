"""The threshold comes from validation and keeps its promise there."""

import numpy as np
import pytest

from medimg_cli.errors import DataError, UsageError
from medimg_cli.predictions.operating_point import choose_threshold

TRUTH = np.array([True] * 20 + [False] * 20)
SCORE = np.r_[np.linspace(0.5, 0.975, 20), np.linspace(0.05, 0.525, 20)]


@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 1.0])
def test_it_is_the_highest_threshold_that_reaches_the_target(target: float) -> None:
    chosen = choose_threshold(TRUTH, SCORE, target_recall=target, split="val")
    assert chosen.achieved_recall is not None and chosen.achieved_recall >= target
    assert (SCORE[TRUTH] >= chosen.value).mean() == chosen.achieved_recall
    higher = np.nextafter(chosen.value, 1)
    assert (SCORE[TRUTH] >= higher).mean() < target
    assert chosen.achieved_specificity == (SCORE[~TRUTH] < chosen.value).mean()


def test_ties_are_called_positive_together() -> None:
    chosen = choose_threshold(
        np.array([True, True, False]), np.array([0.5, 0.5, 0.5]), target_recall=0.5, split="val"
    )
    assert (chosen.value, chosen.achieved_recall, chosen.achieved_specificity) == (0.5, 1.0, 0.0)


def test_the_test_split_is_refused() -> None:
    with pytest.raises(UsageError, match="test split"):
        choose_threshold(TRUTH, SCORE, target_recall=0.95, split="test")


def test_without_a_positive_there_is_no_threshold() -> None:
    with pytest.raises(DataError, match="no positive image"):
        choose_threshold(np.array([False]), np.array([0.1]), target_recall=0.95, split="val")
