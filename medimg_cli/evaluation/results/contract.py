"""What a threshold promised on validation, and what came of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from medimg_cli.statistics.estimate import Estimate


class Expected(BaseModel):
    """An interval of the recall to come, 0..1."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float


class Change(BaseModel):
    """One figure from validation to here.

    Args:
        val, here: both with their intervals; recall on validation with that of the recall to come.
        difference: here − val, with its interval.
        beyond_chance: that interval excludes 0; None where there is none.
    """

    model_config = ConfigDict(frozen=True)

    val: Estimate
    here: Estimate
    difference: Estimate
    beyond_chance: bool | None


class Contract(BaseModel):
    """The recall that was aimed at, how far validation could promise it, and whether it was kept.

    Args:
        positive: the class, or classes, whose recall it is.
        target: recall that the threshold aims at; None where its rule aims at something else.
        positives, patients: that it was chosen on.
        expected: interval of the recall to come; None where the threshold was not chosen on validation.
        reaches: probability that the recall to come reaches the target.
        least_for_bound: positives below which no lower end of a 95 % interval can reach the target.
        verdict: by the interval of recall here; "" without a target or a positive image.
        change: recall, specificity, auroc → from validation to here; none without answers to validation.
        promise, outcome: both in one sentence; "" where there is nothing to say.
    """

    model_config = ConfigDict(frozen=True)

    positive: str
    target: float | None
    positives: int | None = None
    patients: int | None = None
    expected: Expected | None = None
    reaches: float | None = None
    least_for_bound: int | None = None
    verdict: Literal["met", "missed", "cannot be told", ""] = ""
    change: dict[str, Change] = {}
    promise: str = ""
    outcome: str = ""
