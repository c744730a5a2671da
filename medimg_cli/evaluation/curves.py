"""Curves for drawing: thinned, exact at their ends."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.evaluation import Curve
from medimg_cli.statistics.intervals import LEVEL
from medimg_cli.statistics.sampling import ScoreLevels

_MOST_POINTS = 200


def roc_curve_of(
    name: str, truth: NDArray[np.bool_], score: NDArray[np.float64], called: NDArray[np.bool_] | None
) -> Curve | None:
    """Return false positive rate (x) against recall (y), or None when only one class occurs.

    Args:
        name: of the class.
        truth, score: (N,), reference standard and probability of the class.
        called: (N,), the decision in force, for the operating point; None draws none.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return None
    found, alarms, _ = _cumulative(truth, score)
    x, y = np.r_[0.0, alarms / negatives], np.r_[0.0, found / positives]
    point = None
    if called is not None:
        point = (float((called & ~truth).sum() / negatives), float((called & truth).sum() / positives))
    return _thinned(name, x, y, point)


def precision_recall_curve_of(
    name: str, truth: NDArray[np.bool_], score: NDArray[np.float64], called: NDArray[np.bool_] | None
) -> Curve | None:
    """Return recall (x) against precision (y), or None when the class does not occur; as `roc_curve_of`."""
    positives = int(truth.sum())
    if not positives:
        return None
    found, _, taken = _cumulative(truth, score)
    precision = found / taken
    x, y = np.r_[0.0, found / positives], np.r_[precision[0], precision]
    point = None
    if called is not None and called.any():
        hits = int((called & truth).sum())
        point = (hits / positives, hits / int(called.sum()))
    return _thinned(name, x, y, point)


def _cumulative(
    truth: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return found, false alarms and taken at each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    found = np.cumsum(truth[order])[last_of_tie].astype(np.float64)
    taken = (last_of_tie + 1).astype(np.float64)
    return found, taken - found, taken


def _thinned(
    name: str, x: NDArray[np.float64], y: NDArray[np.float64], point: tuple[float, float] | None
) -> Curve:
    """Keep at most 200 points, evenly along the curve's length, ends included."""
    if len(x) > _MOST_POINTS:
        length = np.r_[0.0, np.cumsum(np.hypot(np.diff(x), np.diff(y)))]
        wanted = np.linspace(0.0, length[-1], _MOST_POINTS)
        kept = np.unique(np.r_[0, np.searchsorted(length, wanted).clip(max=len(x) - 1), len(x) - 1])
        kept = kept[:: max(1, -(-len(kept) // _MOST_POINTS))]
        kept = np.unique(np.r_[kept[: _MOST_POINTS - 1], len(x) - 1])
        x, y = x[kept], y[kept]
    return Curve(name=name, x=tuple(x.tolist()), y=tuple(y.tolist()), operating_point=point)


Floats = NDArray[np.float64]
_STEP = 1e-12  # sets points of a vertical rise apart, so that each place on the axis is on one side of them


def with_roc_band(curve: Curve, levels: ScoreLevels) -> Curve:
    """Return a ROC curve with the interval of recall at each false positive rate, pointwise."""

    def at(places: Floats, counts: Floats) -> Floats:
        alarms, found = _shares(counts)
        # The upper end of a rise: as much recall as this many false alarms allow.
        return np.interp(places + len(alarms) * _STEP, alarms + _STEP * np.arange(len(alarms)), found)

    return _with_band(curve, levels, at)


def with_precision_band(curve: Curve, levels: ScoreLevels) -> Curve:
    """Return a precision–recall curve with the interval of precision at each recall, pointwise."""

    def at(places: Floats, counts: Floats) -> Floats:
        taken = counts[::-1].sum(axis=1).cumsum()
        some = taken > 0
        found = counts[::-1, 1].cumsum()[some]
        precision, recall = found / taken[some], found / found[-1]
        # The first point that reaches this much recall.
        recall = np.concatenate([[0.0], recall]) + _STEP * np.arange(len(recall) + 1)
        heights: Floats = np.interp(places, recall, np.concatenate([precision[:1], precision]))
        return heights

    return _with_band(curve, levels, at)


def _with_band(curve: Curve, levels: ScoreLevels, at: Callable[[Floats, Floats], Floats]) -> Curve:
    """Return the curve with its band, without one where most replicates lack a kind of image.

    Args:
        at: places (P,) on the axis and counts (L, 2) of one replicate, the lowest level first → heights (P,).
    """
    drawn = levels.drawn
    usable = drawn[(drawn.sum(axis=1) > 0).all(axis=1)]
    if 2 * len(usable) <= len(drawn):
        return curve
    places, back = np.unique(np.array(curve.x), return_inverse=True)
    heights = np.stack([at(places, counts) for counts in usable])
    low, high = np.quantile(heights, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return curve.model_copy(update={"low": tuple(low[back].tolist()), "high": tuple(high[back].tolist())})


def _shares(counts: Floats) -> tuple[Floats, Floats]:
    """Return false positive rate and recall (L + 1,), from the highest score down."""
    falling = np.concatenate([np.zeros((1, 2)), counts[::-1].cumsum(axis=0)])
    return falling[:, 0] / falling[-1, 0], falling[:, 1] / falling[-1, 1]
