"""The threshold that a rule takes among those that the scores of a split offer."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, rankdata

from medimg_cli.errors import DataError
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.intervals import LEVEL, clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule


@dataclass(frozen=True)
class Positives:
    """The positive images that a threshold is chosen on.

    Args:
        images: how many.
        patients: of whom they are; as many as images where patients are not known.
        effective: as many independent images say as much: fewer where a patient has several that are alike.
    """

    images: int
    patients: int
    effective: float

    def reaches(self, found: int, target: float) -> float:
        """Return the probability that the recall to come is at least `target`, where `found` images are called."""
        if not found:
            return 0.0
        return float(beta.sf(target, *self._shape(found)))

    def expected(self, found: int) -> tuple[float, float]:
        """Return the 95 % interval of the recall to come."""
        if not found:
            return 0.0, 1.0
        tail = (1 - LEVEL) / 2
        low, high = beta.ppf([tail, 1 - tail], *self._shape(found))
        return float(low), float(high)

    def _shape(self, found: int) -> tuple[float, float]:
        called = self.effective * found / self.images
        return called, self.effective - called + 1


def positives_of(score: NDArray[np.float64], sampling: Sampling) -> Positives:
    """Return what the positive images of a split are worth.

    Images of one patient are as alike as the ranks of their scores are: with the intraclass correlation r (one-way
    analysis of variance) n images of a patient count as n / (1 + (m − 1) r), m the mean cluster size as a patient's
    images see it (Donner A, Koval JJ. Biometrics 1980;36:19-25; Kish L. Survey Sampling, 1965).

    Args:
        score: (P,) of the positive images, P at least 1.
        sampling: of them.
    """
    images, patients = len(score), sampling.units
    if patients == images:
        return Positives(images, patients, float(images))
    sizes = np.bincount(sampling.unit_of, minlength=patients)
    seen = float((sizes**2).sum()) / images
    if patients < 2:
        return Positives(images, patients, 1.0)
    ranks = rankdata(score)
    means = np.bincount(sampling.unit_of, weights=ranks, minlength=patients) / sizes
    between = float((sizes * (means - ranks.mean()) ** 2).sum()) / (patients - 1)
    within = float(((ranks - means[sampling.unit_of]) ** 2).sum()) / (images - patients)
    spread = between + ((images - seen) / (patients - 1) - 1) * within
    alike = min(max((between - within) / spread, 0.0), 1.0) if spread > 0 else 1.0
    return Positives(images, patients, images / (1 + (seen - 1) * alike))


def least_for_assurance(target: float, assurance: float) -> int:
    """Return how many independent positives it takes: all of them found, recall reaches the target so surely.

    >>> least_for_assurance(0.95, 0.9)
    45
    """
    return math.ceil(math.log(1 - assurance) / math.log(target)) if 0 < target < 1 else 0


def least_for_bound(target: float, *, exact: bool = False) -> int | None:
    """Return how many it takes until the lower end of the 95 % interval can reach the target; None for a target of 1.

    >>> least_for_bound(0.95), least_for_bound(0.95, exact=True)
    (73, 72)
    """
    if target >= 1:
        return None
    bound, n = clopper_pearson if exact else wilson, 1
    while bound(n, n)[0] < target:
        n *= 2
    low = n // 2
    while n - low > 1:
        middle = (low + n) // 2
        low, n = (middle, n) if bound(middle, middle)[0] < target else (low, middle)
    return n


def promise_of(threshold: Threshold, *, exact: bool = False) -> str:
    """Return in one sentence what validation says of the recall to come, "" of a threshold that was not chosen there."""
    if threshold.positives is None or threshold.expected_recall is None:
        return ""
    images, patients = threshold.positives
    low, high = threshold.expected_recall
    of = f" of {patients:,} patients" if patients < images else ""
    text = f"from {images:,} positives{of}: expected recall {100 * low:.0f}–{100 * high:.0f} %"
    target = threshold.target_recall
    if target is None:
        return text
    if threshold.reaches_target is not None:
        text += f", {target:g} or more with probability {threshold.reaches_target:.2f}"
    least = least_for_bound(target, exact=exact)
    if least is not None and patients < least:
        text += f"; below {least} positives a lower bound of {target:g} cannot be reached"
    return text


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
    "youden": lambda steps, _, __: _last_best(steps.found * steps.negatives - steps.alarms * steps.positives),
    "miss_cost": _of_cost,
}
