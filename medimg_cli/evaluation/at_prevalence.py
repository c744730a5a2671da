"""Predictive values where another share of the patients has the disease."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import FN, FP, METRICS, TN, TP, OneVsRest, divided, with_bootstrap
from medimg_cli.evaluation.results.decisions import AtPrevalence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import percentiles

Floats = NDArray[np.float64]
_PER = 100
_AT_THE_ENDS = "at the ends of the intervals of recall and specificity"
_UNDEFINED = ("no image was called this class", "every image was called this class")


def at_prevalences(view: OneVsRest, stated: tuple[float, ...]) -> tuple[AtPrevalence, ...]:
    """Return what the decisions of a class mean at its observed prevalence and at stated ones; both kinds occur.

    A prevalence is taken as known: the intervals are those of recall and specificity, carried on.
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
    precision, npv = (
        _predictive(view, recall, specificity, prevalence, which=which) for which in range(len(_UNDEFINED))
    )
    return AtPrevalence(
        prevalence=prevalence,
        observed=prevalence == observed,
        precision=precision,
        npv=npv,
        alarms_per_100=_alarms(specificity, prevalence, view.n),
        number_needed_to_read=1 / precision.value if precision.value else None,
    )


def _predictive(
    view: OneVsRest, recall: Estimate, specificity: Estimate, prevalence: float, *, which: int
) -> Estimate:
    """Return a predictive value, the positive (0) or the negative (1) one, with its interval from replicates.

    Where recall or specificity is 0 or 1 it is so in every replicate: there the value is computed at both ends of
    their own intervals, with which it rises.
    """
    ends = np.array([(each.value, each.low, each.high) for each in (recall, specificity)], dtype=np.float64)
    value, low, high = predictive_values(ends[0], ends[1], prevalence)[which]
    if not np.isfinite(value):
        return Estimate(value=None, n=view.n, reason=_UNDEFINED[which])
    drawn = view.tables.reshape(-1, 4)
    recalls = divided(drawn[:, TP], drawn[:, TP] + drawn[:, FN])
    specificities = divided(drawn[:, TN], drawn[:, TN] + drawn[:, FP])
    replicates = predictive_values(recalls, specificities, prevalence)[which]
    if {recall.value, specificity.value} & {0.0, 1.0} or percentiles(replicates) is None:
        return Estimate(value=value, low=low, high=high, method=_AT_THE_ENDS, n=view.n)
    return with_bootstrap(value, replicates, unit=view.sampling.unit, n=view.n)


def _alarms(specificity: Estimate, prevalence: float, n: int) -> Estimate:
    """Return false alarms among 100 patients: as specificity falls they rise, and so does the interval's end."""
    value, high, low = (
        None if end is None else _PER * (1 - prevalence) * (1 - end)
        for end in (specificity.value, specificity.low, specificity.high)
    )
    return Estimate(value=value, low=low, high=high, method=specificity.method, n=n)
