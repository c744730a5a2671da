"""Curves for drawing: thinned, exact at their ends."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.evaluation import Curve

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
