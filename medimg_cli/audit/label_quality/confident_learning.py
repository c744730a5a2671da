"""Confident learning: which labels are probably wrong, told from probabilities of images a model has not seen.

Northcutt C, Jiang L, Chuang I. J Artif Intell Res 2021;70:1373-1411. Own code; the tests hold it against cleanlab's
`find_label_issues(filter_by="confident_learning")`, whose index set it equals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# As cleanlab 2.9 compares: what differs by less counts as equal.
_TOLERANCE = 1e-6
# No probability reaches the threshold of a class that no image is labelled with.
_UNREACHABLE = 2.0


@dataclass(frozen=True)
class Confident:
    """What confident learning says of N labels of C classes.

    Args:
        thresholds: (C,), mean probability of a class over the images labelled so; 2 for a class without images.
        proposed: (N,), the class an image confidently belongs to, -1 where it is sure of none.
        issues: (N,), True where that class is another than the label, and more probable.
        joint: (C, C), images by label (row) and confident class (column), scaled so that the rows add up to
            the images labelled so: an estimate of how many labels of each class should be which.
    """

    thresholds: NDArray[np.float64]
    proposed: NDArray[np.int64]
    issues: NDArray[np.bool_]
    joint: NDArray[np.float64]

    @property
    def wrong_labels(self) -> float:
        """Return how many labels are wrong by the estimate; 0..N."""
        return float(self.joint.sum() - np.trace(self.joint))


def confident_learning(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Confident:
    """Return which of `labels` (N,) the out-of-fold `probabilities` (N, C) contradict with confidence."""
    classes = probabilities.shape[1]
    thresholds = _thresholds(labels, probabilities)
    reached = probabilities >= thresholds - _TOLERANCE
    first = reached.argmax(axis=1)
    # Of several classes that reach their threshold the most probable one counts, be it one of them or not.
    proposed = np.where(reached.sum(axis=1) > 1, probabilities.argmax(axis=1), first)
    proposed = np.where(reached.any(axis=1), proposed, -1).astype(np.int64)
    joint = _joint(labels, proposed, classes)
    own = probabilities.copy()
    own[np.arange(len(labels)), labels] += _TOLERANCE
    issues = (proposed >= 0) & (proposed != labels) & (own.argmax(axis=1) != labels)
    return Confident(thresholds, proposed, issues, joint)


def self_confidence(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability (N,) of each image's own label, 0..1: the lower, the more probably it is wrong."""
    return probabilities[np.arange(len(labels)), labels]


def _thresholds(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    means = [
        float(probabilities[labels == k, k].mean()) if (labels == k).any() else _UNREACHABLE
        for k in range(probabilities.shape[1])
    ]
    return np.maximum(means, 2 * _TOLERANCE)


def _joint(labels: NDArray[np.int64], proposed: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    sure = proposed >= 0
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels[sure], proposed[sure]), 1)
    diagonal = np.arange(classes)
    # The paper takes one right label a class for granted, so that no row is empty.
    counts[diagonal, diagonal] = np.maximum(counts[diagonal, diagonal], 1)
    images = np.bincount(labels, minlength=classes)
    scaled: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True) * images[:, None]
    return scaled
