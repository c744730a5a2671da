"""Recall, specificity and AUROC of disturbed images, and how recall changes."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.analyses.subgroups import Brief, asked_about
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.surroundings import Disturbed, Robustness
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX
from medimg_cli.preprocessing.corruptions import DISTURBANCES, Disturbance, DisturbedAnswers
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import quantile_of, wilson

ASK = "ask for it with --robustness"
HELD_OUT = "train and val are answered by held-out networks, as training left them; disturb the test split"


@ANALYSES.register("robustness")
def robustness(subject: Subject) -> Robustness | str:
    """Return what blur, noise, brightness, contrast and JPEG do to the answers, at the thresholds in force.

    The same images stand on both sides of each change, so its interval is a paired one.
    """
    if not subject.settings.robustness:
        return ASK
    disturbed = subject.disturbed
    if not isinstance(disturbed, DisturbedAnswers):
        return disturbed
    rows = np.zeros(subject.here.n, dtype=np.bool_)
    rows[disturbed.rows] = True
    scored = subject.here.of(rows)
    over, undefined = asked_about(scored, 1)
    if not over:
        return undefined
    as_it_is = Brief(scored, over)
    return Robustness(
        n=scored.n,
        pixels=disturbed.pixels,
        undisturbed=as_it_is.figures,
        rows=tuple(
            _row(disturbance, as_it_is, Brief(_answering(scored, probabilities), over))
            for disturbance, probabilities in zip(DISTURBANCES, disturbed.probabilities, strict=True)
        ),
    )


def _answering(scored: ScoredPredictions, probabilities: NDArray[np.float64]) -> ScoredPredictions:
    """Return the same images with other answers (N, C), decided alike."""
    columns = {
        PROBABILITY_PREFIX + name: probabilities[:, index] for index, name in enumerate(scored.classes)
    }
    return ScoredPredictions(scored.table.assign(**columns), scored.labels, scored.point, scored.sampling)


def _row(disturbance: Disturbance, as_it_is: Brief, disturbed: Brief) -> Disturbed:
    return Disturbed(
        disturbance=disturbance.name,
        strength=disturbance.strength,
        severity=disturbance.severity,
        metrics=disturbed.figures,
        change=change_of_recall(as_it_is, disturbed),
    )


_FEW = 10
"""Below so many images, or patients, whose decisions changed, their spread says too little."""


def change_of_recall(before: Brief, after: Brief) -> Estimate:
    """Return recall (mean recall) of `after` minus that of `before`, the same images answered twice.

    The interval is that of a mean of changes by image, or patient with all of theirs. Where the decisions of fewer than ten of
    them changed, or none, the interval is made of Wilson's for the share gained and the share lost instead.
    """
    changes = after.rights() - before.rights()
    carried: NDArray[np.bool_] = ~np.isnan(changes)
    moved = np.where(carried, changes, 0.0)
    sampling, n = before.scored.sampling, len(np.flatnonzero(carried.any(axis=1)))
    value = float((moved.sum(axis=0) / carried.sum(axis=0)).mean())
    why = sampling.nothing_from(sampling.units)
    if why:
        return Estimate(value=value, n=n, reason=why)
    if len(np.unique(sampling.unit_of[moved.any(axis=1)])) < _FEW:
        below, above = _reach_of_few(moved, carried, sampling.unit_of)
        low, high = max(-1.0, value - below), min(1.0, value + above)
        method = f"Wilson of gained and lost, by {sampling.unit}"
        return Estimate(value=value, low=low, high=high, method=method, n=n)
    influence = ((moved - carried * (moved.sum(axis=0) / carried.sum(axis=0))) / carried.sum(axis=0)).mean(
        axis=1
    )
    half = quantile_of(sampling.units) * float(np.sqrt(sampling.variance(influence)))
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Estimate(value=value, low=low, high=high, method=f"Student, paired, by {sampling.unit}", n=n)


def _reach_of_few(
    moved: NDArray[np.float64], carried: NDArray[np.bool_], unit_of: NDArray[np.int64]
) -> tuple[float, float]:
    """Return how far the interval of a mean change reaches below and above it.

    Class by class the shares of images, or patients, that gained and that lost have Wilson's intervals, and their
    difference one made of both, as `statistics.difference_intervals` does; the mean over classes goes on in the same way.

    Args:
        moved, carried: (N, C), the change of each image (−1, 0, 1) in the classes it is of.
        unit_of: (N,).
    """
    below, above = 0.0, 0.0
    for change, among in zip(moved.T, carried.T, strict=True):
        n = len(np.unique(unit_of[among]))
        gained, lost = (len(np.unique(unit_of[change == sign])) for sign in (1, -1))
        (least_gained, most_gained), (least_lost, most_lost) = wilson(gained, n), wilson(lost, n)
        below += (gained / n - least_gained) ** 2 + (most_lost - lost / n) ** 2
        above += (most_gained - gained / n) ** 2 + (lost / n - least_lost) ** 2
    classes = moved.shape[1]
    return float(np.sqrt(below)) / classes, float(np.sqrt(above)) / classes
