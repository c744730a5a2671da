"""What a threshold that was chosen on k positives promises of the recall to come.

The recall at the m-th highest of k scores of independent positives is distributed as Beta(m, k − m + 1), whatever the
distribution of the scores (order statistics: Wilks SS. Ann Math Stat 1941;12:91-96). That it reaches a target with a
given probability is the one-sided bound of Clopper and Pearson (Biometrika 1934;26:404-413).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, rankdata

from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.intervals import LEVEL, clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling


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
    said = f"from {images:,} positives{of}: expected recall {100 * low:.0f}–{100 * high:.0f} %"
    target = threshold.target_recall
    if target is None:
        return said
    if threshold.reaches_target is not None:
        said += f", {target:g} or more with probability {threshold.reaches_target:.2f}"
    least = least_for_bound(target, exact=exact)
    if least is not None and patients < least:
        said += f"; below {least} positives a lower bound of {target:g} cannot be reached"
    return said
