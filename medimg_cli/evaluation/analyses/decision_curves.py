"""Whether acting on the answers does more good than acting on every image, or on none.

Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574.
"""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import OneVsRest
from medimg_cli.evaluation.results.decisions import DecisionCurve, DecisionCurves
from medimg_cli.statistics.intervals import mean_interval

Floats = NDArray[np.float64]
_STEPS = 100
_ROUNDING = 1e-9


@ANALYSES.register("decision_curves")
def decision_curves(subject: Subject) -> DecisionCurves | str:
    """Return the curve of each class that is asked about and of which this split shows images and others."""
    thresholds = thresholds_between(*subject.settings.decision_range)
    views = subject.here.questions
    both = {name: view for name, view in views.items() if view.has_both}
    if not both:
        return f"no image of {' or '.join(views)}, or no other image, so acting has nothing to gain"
    return DecisionCurves(by_class={name: curve_of(view, thresholds) for name, view in both.items()})


def thresholds_between(low: float, high: float) -> Floats:
    """Return the hundredths .01 to .99 that lie in a range.

    >>> thresholds_between(0.015, 0.04).tolist()
    [0.02, 0.03, 0.04]
    """
    grid = np.arange(1, _STEPS) / _STEPS
    return grid[(grid >= low - _ROUNDING) & (grid <= high + _ROUNDING)]


def curve_of(view: OneVsRest, thresholds: Floats) -> DecisionCurve:
    """Return the net benefit of calling an image positive where its score reaches each threshold (T,), rising."""
    model = _net_benefits(_reaching(view.truth, _bands(view, thresholds), thresholds)[None], thresholds)[0]
    low, high, why = _interval(view, thresholds)
    prevalence = float(view.truth.mean())
    treat_all = prevalence - (1 - prevalence) * _exchange(thresholds)
    useful = _widest(thresholds, model > np.maximum(treat_all, 0.0) + _ROUNDING)
    return DecisionCurve(
        thresholds=tuple(thresholds.tolist()),
        model=tuple(model.tolist()),
        low=low,
        high=high,
        no_interval=why,
        treat_all=tuple(treat_all.tolist()),
        useful_from=None if useful is None else useful[0],
        useful_to=None if useful is None else useful[1],
        prevalence=prevalence,
    )


def net_benefit(true_positives: Floats, false_positives: Floats, n: Floats, thresholds: Floats) -> Floats:
    """Return the net benefit by image: a false alarm weighs t / (1 - t) of a case found.

    Args:
        true_positives, false_positives: (..., T) counts, or shares where `n` is 1.
        n: (..., 1) images.
        thresholds: (T,), 0 < t < 1.
    """
    benefit: Floats = (true_positives - false_positives * _exchange(thresholds)) / n
    return benefit


def _exchange(thresholds: Floats) -> Floats:
    return thresholds / (1 - thresholds)


def _bands(view: OneVsRest, thresholds: Floats) -> NDArray[np.int64]:
    """Return how many of the thresholds each score (N,) reaches, 0..T."""
    return np.searchsorted(thresholds, view.score, side="right").astype(np.int64)


def _reaching(truth: NDArray[np.bool_], bands: NDArray[np.int64], thresholds: Floats) -> Floats:
    """Return counts (2 (T + 1),): negatives by how many thresholds they reach, then positives."""
    count = len(thresholds) + 1
    return np.bincount(truth * count + bands, minlength=2 * count).astype(np.float64)


def _net_benefits(counts: Floats, thresholds: Floats) -> Floats:
    """Return (B, T) of counts (B, 2 (T + 1)) as `_reaching` has them."""
    by_class = counts.reshape(len(counts), 2, -1)
    # Whoever reaches k thresholds is called at the first k of them.
    called = by_class[:, :, ::-1].cumsum(axis=2)[:, :, -2::-1]
    return net_benefit(called[:, 1], called[:, 0], by_class.sum(axis=(1, 2))[:, None], thresholds)


def _interval(view: OneVsRest, thresholds: Floats) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return the ends (T,), (T,) of the interval at each threshold, of a mean over images, and why there is none."""
    why = view.sampling.nothing_from(view.sampling.units)
    if why:
        return (), (), why
    called = _bands(view, thresholds)[:, None] > np.arange(len(thresholds))
    gains = np.where(view.truth[:, None], 1.0, -_exchange(thresholds)) * called
    value = gains.mean(axis=0)
    low, high = mean_interval(value, view.sampling.by_unit(gains - value) / view.n)
    return tuple(low.tolist()), tuple(high.tolist()), ""


def _widest(thresholds: Floats, better: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the ends of the longest run of thresholds for which something holds, the lowest of equally long ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], better, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return None
    longest = int(np.argmax(ends - starts))
    return float(thresholds[starts[longest]]), float(thresholds[ends[longest] - 1])
