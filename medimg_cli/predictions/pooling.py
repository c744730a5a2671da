"""The probabilities of several images as those of the exam they are of.

Max and noisy-or say that one image with the disease is enough, the mean that all show it; which holds depends on the
disease and on how the images were taken, so that it is chosen on validation (multiple-instance assumptions: Foulds J,
Frank E. Knowl Eng Rev 2010;25:1-25).
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from medimg_cli.runs.run import Pooling

Floats = NDArray[np.float64]
TOP = 3


def _sums(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return values (N, C) summed by exam (E, C)."""
    total = np.zeros((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    np.add.at(total, exam_of, values)
    return total


def _mean(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    return _sums(values, exam_of) / np.bincount(exam_of)[:, None]


def _max(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    highest = np.zeros((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    np.maximum.at(highest, exam_of, values)
    return highest


def _top(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return the mean of the `TOP` highest values of each exam, of all where it has fewer."""
    found = np.empty((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    for column in range(values.shape[1]):
        order = np.lexsort((-values[:, column], exam_of))
        exams = exam_of[order]
        rank = np.arange(len(exams)) - np.searchsorted(exams, exams)
        kept = order[rank < TOP]
        found[:, column] = _mean(values[kept][:, [column]], exam_of[kept])[:, 0]
    return found


def _noisy_or(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return 1 − Π(1 − p): that some image is positive, were the images independent."""
    absent: Floats = np.exp(_sums(np.log1p(-np.minimum(values, 1 - 1e-12)), exam_of))
    return 1 - absent


POOLINGS: Mapping[Pooling, Callable[[Floats, NDArray[np.int64]], Floats]] = {
    "mean": _mean,
    "max": _max,
    "top-3 mean": _top,
    "noisy-or": _noisy_or,
}
"""Ways to pool scores (N, C) in 0..1 by exam (N,) into (E, C), the simplest first."""


def pooled(
    probabilities: Floats,
    exam_of: NDArray[np.int64],
    rule: Pooling,
    positive: NDArray[np.bool_],
    *,
    several: bool,
) -> Floats:
    """Return the probabilities (E, C) of E exams.

    One label an image: P(positive) is pooled by the rule; how it is shared among the positive classes, and the rest among
    the others, is as in the mean. Without a positive class each class is pooled, and they are scaled to 1. Several labels:
    each is pooled by itself.

    Args:
        probabilities: (N, C) of the images.
        exam_of: (N,), the exam of each, 0..E − 1, every number at least once.
        positive: (C,), True for the positive classes.
        several: an image may carry several labels.

    >>> p, exam_of = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]]), np.array([0, 0, 1])
    >>> pooled(p, exam_of, "max", np.array([False, True]), several=False)
    array([[0.4, 0.6],
           [0.8, 0.2]])
    """
    of = POOLINGS[rule]
    if several:
        return of(probabilities, exam_of)
    if not positive.any():
        every = of(probabilities, exam_of)
        scaled: Floats = every / every.sum(axis=1, keepdims=True)
        return scaled
    score = of(probabilities[:, positive].sum(axis=1, keepdims=True), exam_of).clip(0, 1)
    found = _mean(probabilities, exam_of)
    for side, whole in ((positive, score), (~positive, 1 - score)):
        part = found[:, side]
        total = part.sum(axis=1, keepdims=True)
        share = np.divide(part, total, out=np.full(part.shape, 1 / side.sum()), where=total > 0)
        found[:, side] = share * whole
    return found
