"""Predictive values where another share of the patients has the disease."""

import math

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest, divided
from medimg_cli.evaluation.results.decisions import AtPrevalence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import ratio_interval
from medimg_cli.statistics.paired_tests import correlation

Floats = NDArray[np.float64]
_PER = 100
_FROM_BOTH = "from the intervals of recall and specificity (Donner and Zou)"
OBSERVED = (
    "share of those called so among images drawn as these were, at whatever share has the disease there"
)
STATED = "by Bayes, where just this share has the disease: from recall and specificity alone"
_UNDEFINED = ("no image was called this class", "every image was called this class")


def at_prevalences(view: OneVsRest, stated: tuple[float, ...]) -> tuple[AtPrevalence, ...]:
    """Return what the decisions of a class mean at its observed prevalence and at stated ones; both kinds occur.

    At the observed one they are the split's own precision and NPV, figure and interval. A stated one is taken as known: the
    intervals are those of recall and specificity, carried on.
    """
    observed = float(view.truth.mean())
    recall, specificity = METRICS.get("recall")(view), METRICS.get("specificity")(view)
    return tuple(
        _at(view, recall, specificity, each, observed) for each in dict.fromkeys((observed, *stated))
    )


def predictive_values(recall: Floats, specificity: Floats, prevalence: float) -> tuple[Floats, Floats]:
    """Return positive and negative predictive values (B,) by Bayes, NaN where nothing is called so.

    Args:
        recall, specificity: (B,), 0..1.
        prevalence: share that has the disease, 0..1.
    """
    found, missed = prevalence * recall, prevalence * (1 - recall)
    left, alarms = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
    return divided(found, found + alarms), divided(left, left + missed)


def _at(
    view: OneVsRest, recall: Estimate, specificity: Estimate, prevalence: float, observed: float
) -> AtPrevalence:
    own = prevalence == observed
    names = ("precision", "npv")
    precision, npv = (
        METRICS.get(name)(view) if own else _predictive(view, recall, specificity, prevalence, which)
        for which, name in enumerate(names)
    )
    return AtPrevalence(
        prevalence=prevalence,
        observed=own,
        estimand=OBSERVED if own else STATED,
        precision=precision,
        npv=npv,
        alarms_per_100=_alarms(specificity, prevalence, view.n),
        number_needed_to_read=1 / precision.value if precision.value else None,
    )


def _predictive(
    view: OneVsRest, recall: Estimate, specificity: Estimate, prevalence: float, which: int
) -> Estimate:
    """Return a predictive value, the positive (0) or the negative (1) one, with its interval.

    The odds of being ill, or well, once called so are the odds before times a likelihood ratio, whose interval comes from
    those of recall and specificity.
    """
    over, under = (recall, _less(specificity)) if which == 0 else (specificity, _less(recall))
    ends = (np.array([each.value], dtype=np.float64) for each in (recall, specificity))
    value = float(predictive_values(next(ends), next(ends), prevalence)[which][0])
    if not np.isfinite(value):
        return Estimate(value=None, n=view.n, reason=_UNDEFINED[which])
    why = over.reason or under.reason
    if why:
        return Estimate(value=value, n=view.n, reason=why)
    odds = prevalence / (1 - prevalence) if which == 0 else (1 - prevalence) / prevalence
    low, high = (_share(odds * end) for end in ratio_interval(over, under, correlation=_together(view)))
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=_FROM_BOTH, n=view.n)


def _less(share: Estimate) -> Estimate:
    """Return 1 − a share."""
    value, high, low = (None if end is None else 1 - end for end in (share.value, share.low, share.high))
    return share.model_copy(update={"value": value, "low": low, "high": high})


def _share(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _together(view: OneVsRest) -> float:
    """Return how the errors of recall and of 1 − specificity go together, where patients have images of both kinds."""
    if not view.sampling.clustered:
        return 0.0
    sides = []
    for rows in (view.truth, ~view.truth):
        added = np.zeros(view.n)
        added[rows] = view.called[rows] - view.called[rows].mean()
        sides.append(view.sampling.by_unit(added))
    return correlation(*sides)


def _alarms(specificity: Estimate, prevalence: float, n: int) -> Estimate:
    """Return false alarms among 100 patients: as specificity falls they rise, and so does the interval's end."""
    value, high, low = (
        None if end is None else _PER * (1 - prevalence) * (1 - end)
        for end in (specificity.value, specificity.low, specificity.high)
    )
    return Estimate(
        value=value, low=low, high=high, method=specificity.method, n=n, reason=specificity.reason
    )
