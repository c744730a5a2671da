"""The threshold that a rule takes among those that the scores of a split offer."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.errors import DataError
from medimg_cli.predictions.contract import Positives, least_for_assurance, least_for_bound
from medimg_cli.statistics.intervals import clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule


class NoThresholdError(DataError):
    """No threshold is what a rule asks for."""


@dataclass(frozen=True)
class Steps:
    """What each of K thresholds gives, from the highest down.

    Args:
        value: (K,), the distinct scores; an image is called when its score is at least that.
        found, alarms: (K,), positives and negatives that are called.
        positives, negatives: how many there are.
    """

    value: NDArray[np.float64]
    found: NDArray[np.int64]
    alarms: NDArray[np.int64]
    positives: int
    negatives: int

    def recall(self, place: int) -> float:
        return float(self.found[place] / self.positives)

    def specificity(self, place: int) -> float | None:
        """Return the share of negatives that is left alone, None without any."""
        return float((self.negatives - self.alarms[place]) / self.negatives) if self.negatives else None


def steps_of(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> Steps:
    """Return what each distinct score gives as a threshold.

    Args:
        truth: (N,), True where the reference standard says positive; N at least 1.
        score: (N,), higher means more likely positive.
    """
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    found = np.cumsum(truth[order], dtype=np.int64)[last_of_tie]
    alarms = last_of_tie + 1 - found
    return Steps(score[order][last_of_tie], found, alarms, int(found[-1]), int(alarms[-1]))


Bound = Callable[[float], float]
"""Threshold → lower end of the 95 % interval of recall there."""


def recall_bound(score: NDArray[np.float64], sampling: Sampling) -> Bound:
    """Return the lower bound of recall by threshold: by patient where some have several images.

    Args:
        score: (P,) of the positive images.
        sampling: of them.
    """
    interval = clopper_pearson if sampling.exact else wilson

    def bound(threshold: float) -> float:
        called = score >= threshold
        count, n = int(called.sum()), len(score)
        if not sampling.clustered:
            return interval(count, n)[0]
        return sampling.share_interval(called)[0]

    return bound


def place_by(rule: ThresholdRule, steps: Steps, bound: Bound, positives: Positives) -> int:
    """Return the place of the threshold that a rule takes.

    Args:
        steps: with a positive.
        bound: of recall, by threshold.
        positives: what they say of the recall to come.

    Raises:
        NoThresholdError: none is what it asks for, or the rule needs negatives and there are none.
    """
    if rule.name in _NEEDS_NEGATIVES and not steps.negatives:
        raise NoThresholdError(
            "no negative image to choose a threshold on",
            "give the split at least one, or ingest again with another --seed",
        )
    if rule.name == "recall_assured":
        return _of_assurance(steps, rule, positives)
    return _PLACES[rule.name](steps, rule.wanted, bound)


def place_of_recall(steps: Steps, wanted: float) -> int:
    """Return the place of the highest threshold whose recall reaches `wanted`."""
    needed = max(1, int(np.ceil(wanted * steps.positives - 1e-9)))
    return int(np.searchsorted(steps.found, needed))


def place_of_specificity(steps: Steps, wanted: float) -> int | None:
    """Return the place of the lowest threshold whose specificity reaches `wanted`, None where none does."""
    allowed = int(np.floor((1 - wanted) * steps.negatives + 1e-9))
    place = int(np.searchsorted(steps.alarms, allowed, side="right")) - 1
    return place if place >= 0 else None


def _of_bound(steps: Steps, wanted: float, bound: Bound) -> int:
    # The bound rises as the threshold falls, until every positive is found: there it is computed in another way.
    whole = int(np.searchsorted(steps.found, steps.positives))
    place = bisect_left(range(whole), True, key=lambda k: bound(float(steps.value[k])) >= wanted)
    if place == whole and (best := bound(float(steps.value[whole]))) < wanted:
        raise NoThresholdError(
            f"the lower bound of recall cannot reach {wanted:g}: with all {steps.positives} positive images found it "
            f"is {best:.3f}, and below {least_for_bound(wanted) or 'any number'} of them it never does",
            "ask for less, or put more images of the class into validation",
        )
    return place


def _of_assurance(steps: Steps, rule: ThresholdRule, positives: Positives) -> int:
    whole = int(np.searchsorted(steps.found, steps.positives))
    place = bisect_left(
        range(whole + 1),
        True,
        key=lambda k: positives.reaches(int(steps.found[k]), rule.wanted) >= rule.assurance,
    )
    if place > whole:
        of = f"{positives.images} positive images"
        if positives.patients < positives.images:
            of += f" of {positives.patients} patients, which say as much as {positives.effective:.0f},"
        raise NoThresholdError(
            f"recall {rule.wanted:g} cannot be had with probability {rule.assurance:g}: with all {of} found it is "
            f"{positives.reaches(positives.images, rule.wanted):.2f}; it takes "
            f"{least_for_assurance(rule.wanted, rule.assurance)} independent ones",
            "ask for less, or put more images of the class into validation",
        )
    return place


def _of_specificity(steps: Steps, wanted: float, _: Bound) -> int:
    place = place_of_specificity(steps, wanted)
    if place is None:
        raise NoThresholdError(
            f"no threshold with specificity ≥ {wanted:g} calls any image: {steps.alarms[0]} of {steps.negatives} "
            f"negative images share the highest score, {steps.value[0]:.4f}",
            "ask for less",
        )
    return place


def _of_youden(steps: Steps, _: float, __: Bound) -> int:
    return _last_best(steps.found * steps.negatives - steps.alarms * steps.positives)


def _of_cost(steps: Steps, wanted: float, _: Bound) -> int:
    cost = wanted * (steps.positives - steps.found) + steps.alarms
    if wanted * steps.positives < cost.min():
        raise NoThresholdError(
            f"where a miss counts as {wanted:g} false alarms, calling no image at all costs least",
            "let a miss count more",
        )
    return _last_best(-cost)


def _last_best(gain: NDArray[np.int64] | NDArray[np.floating[Any]]) -> int:
    return len(gain) - 1 - int(np.argmax(gain[::-1]))


_NEEDS_NEGATIVES = ("specificity", "youden")
_PLACES: Mapping[str, Callable[[Steps, float, Bound], int]] = {
    "recall": lambda steps, wanted, _: place_of_recall(steps, wanted),
    "recall_bound": _of_bound,
    "specificity": _of_specificity,
    "youden": _of_youden,
    "miss_cost": _of_cost,
}
