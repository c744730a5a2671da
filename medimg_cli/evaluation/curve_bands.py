"""Bands around ROC and precision–recall curves: at each point of the horizontal axis, where replicates of the curve run."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.evaluation import Curve
from medimg_cli.statistics.intervals import LEVEL
from medimg_cli.statistics.score_levels import ScoreLevels

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
        recall = np.r_[0.0, recall] + _STEP * np.arange(len(recall) + 1)
        return np.interp(places, recall, np.r_[precision[0], precision])

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
