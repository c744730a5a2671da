"""What decisions mean in use: fixed trade-offs, and predictive values at other prevalences."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, divided, rate
from medimg_cli.evaluation.results.decisions import AtPrevalence, Operating, OperatingPoints, TradeOff
from medimg_cli.predictions.threshold_choice import Steps, place_of_recall, place_of_specificity, steps_of
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import ratio_interval
from medimg_cli.statistics.paired_tests import correlation
from medimg_cli.statistics.sampling import Sampling, bootstrap_of, percentiles

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


Figure = Literal["recall", "specificity"]
SPECIFICITIES = (0.90, 0.95)
RECALLS = (0.90, 0.95, 0.99)
_SPARE = 2.5
"""Fewer images than these beyond the threshold, and where it lies is chance: intervals hold the truth in 30 to 90 of 100."""


def trade_offs_of(view: OneVsRest) -> tuple[TradeOff, ...]:
    """Return the trade-offs of a class against the rest; both occur.

    Only the figure that is not fixed has an interval: the other one is what the threshold was chosen for. It has none where
    so few images lie beyond the threshold that its place is chance (recall 0.99 of 100 positives hangs on one).
    """
    return (*_fixed(view, "specificity", SPECIFICITIES), *_fixed(view, "recall", RECALLS))


def _fixed(view: OneVsRest, fixed: Figure, wanted: Sequence[float]) -> Iterator[TradeOff]:
    steps, smooth = steps_of(view.truth, view.score), not view.levels.exact
    here, drawn = (_in_turn(tables, fixed) for tables in (view.levels.counts, view.levels.drawn))
    on_levels, replicates = (kept_at(tables, wanted, smooth=smooth) for tables in (here, drawn))
    place_of = place_of_specificity if fixed == "specificity" else place_of_recall
    for index, share in enumerate(wanted):
        place = place_of(steps, share)
        if place is None:
            yield _impossible(steps, fixed, share)
        else:
            yield _trade_off(
                view, steps, fixed, share, place, replicates[:, index], float(on_levels[0, index])
            )


def _in_turn(tables: Floats, fixed: Figure) -> Floats:
    """Return counts (B, L, 2) as `kept_at` takes them.

    From the highest score down positives are gained and negatives lost, from the lowest score up the reverse.
    """
    return tables[:, ::-1] if fixed == "specificity" else tables[:, :, ::-1]


def kept_at(tables: Floats, wanted: Sequence[float], *, smooth: bool) -> Floats:
    """Return the largest share of the second kind of image that is taken while enough of the first kind is not.

    Images are taken level by level, all of a level or none.

    Args:
        tables: (B, L, 2), counts of both kinds on each level, in the order in which levels are taken.
        wanted: (W,), least shares of the first kind that are not taken, 0..1.
        smooth: a level that can only be taken in part is: its images differ, though the level does not say so.

    Returns:
        (B, W), NaN without an image of either kind.
    """
    taken = np.concatenate([np.zeros_like(tables[:, :1]), tables.cumsum(axis=1)], axis=1)
    lost, won = taken[..., 0], taken[..., 1]
    rows, last = np.arange(len(tables)), tables.shape[1]
    found = np.empty((len(tables), len(wanted)))
    for index, share in enumerate(wanted):
        allowed = (1 - share) * lost[:, -1] + 1e-9
        place = (lost <= allowed[:, None]).sum(axis=1) - 1
        won_there = won[rows, place]
        if smooth:
            after = np.minimum(place + 1, last)
            step = lost[rows, after] - lost[rows, place]
            part = np.divide(allowed - lost[rows, place], step, out=np.zeros_like(step), where=step > 0)
            won_there = won_there + part * (won[rows, after] - won_there)
        found[:, index] = won_there
    both = (lost[:, -1:] > 0) & (won[:, -1:] > 0)
    shares: Floats = np.divide(found, won[:, -1:], out=np.full_like(found, np.nan), where=both)
    return shares


def _impossible(steps: Steps, fixed: Figure, wanted: float) -> TradeOff:
    recall, specificity = (
        Estimate(value=None, n=n, reason="the highest score alone calls too many of the others")
        for n in (steps.positives, steps.negatives)
    )
    return TradeOff(fixed=fixed, wanted=wanted, threshold=None, recall=recall, specificity=specificity)


def _trade_off(
    view: OneVsRest,
    steps: Steps,
    fixed: Figure,
    wanted: float,
    place: int,
    drawn: Floats,
    on_levels: float,
) -> TradeOff:
    """Return both figures at a place of the steps, the one that is not fixed with its interval.

    Args:
        drawn: (B,), that one in each replicate.
        on_levels: the same of the images themselves, as the levels have it.
    """
    found, left = int(steps.found[place]), int(steps.negatives - steps.alarms[place])
    recall = Estimate(value=found / steps.positives, count=found, n=steps.positives)
    specificity = Estimate(value=left / steps.negatives, count=left, n=steps.negatives)
    spare = (1 - wanted) * (steps.negatives if fixed == "specificity" else steps.positives)
    why = (
        ""
        if spare >= _SPARE
        else f"{fixed} {wanted:g} leaves {spare:.2g} of so few images to choose the threshold by"
    )
    if fixed == "specificity":
        recall = _drawn(found, view.truth, drawn, on_levels, view.sampling, why)
    else:
        specificity = _drawn(left, ~view.truth, drawn, on_levels, view.sampling, why)
    threshold = float(steps.value[place])
    return TradeOff(fixed=fixed, wanted=wanted, threshold=threshold, recall=recall, specificity=specificity)


def _drawn(
    count: int, among: NDArray[np.bool_], drawn: Floats, on_levels: float, sampling: Sampling, why: str
) -> Estimate:
    """Return a share of some images with its interval: of replicates, moved by what the levels make of the share.

    Where all of them agree replicates tell nothing, and the interval is that of a share at a given threshold.
    """
    n = int(among.sum())
    value = count / n
    why = why or (sampling.nothing_from(sampling.units_among(among)) if sampling.clustered else "")
    if why:
        return Estimate(value=value, n=n, count=count, reason=why)
    between = percentiles(drawn)
    if between is None or count in (0, n):
        return rate(np.full(n, count == n), sampling.of(among), undefined="")
    low, high = (min(max(edge + value - on_levels, 0.0), 1.0) for edge in between)
    method = bootstrap_of(sampling.unit, len(drawn)) + ", threshold chosen anew in each"
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=n, count=count)


@ANALYSES.register("operating")
def operating(subject: Subject) -> OperatingPoints | str:
    """Return trade-offs and predictive values of each class that is asked about and that is shown with and without."""
    stated = subject.settings.prevalence
    by_class = {
        name: Operating(trade_offs=trade_offs_of(view), at_prevalences=at_prevalences(view, stated))
        for name, view in subject.here.questions.items()
        if view.has_both
    }
    return OperatingPoints(by_class=by_class) if by_class else "no class occurs both with and without it"
