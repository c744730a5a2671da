"""Probabilities of images by models that have seen neither them nor anything of their patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from medimg_cli.audit.measurements.thumbnails import SIDE_PX
from medimg_cli.audit.shortcuts.separability import FOLDS
from medimg_cli.statistics.areas import delong
from medimg_cli.workspace.progress import Progress, SilentProgress

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


_COARSE_PX = 24
_CELL_PX = 16
_CELLS = SIDE_PX // _CELL_PX
_DIRECTIONS = 9
_BATCH = 256
# Grey levels added to a picture's standard deviation: a nearly flat one is not blown up to full contrast.
_FLAT_LEVELS = 4.0
# Likewise for a block's gradients, in grey levels summed over a cell.
_FLAT_GRADIENTS = 5.0


def quick_features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return features (N, D) of grey pictures (N, SIDE_PX, SIDE_PX): brightness and edges, of equal weight."""
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    if not batches:
        return np.empty((0, 0), dtype=np.float32)
    brightness = np.concatenate([_brightness(batch) for batch in batches])
    edges = np.concatenate([_edges(batch) for batch in batches])
    return side_by_side(brightness, edges)


def side_by_side(*blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return blocks of features (N, D_i) as one (N, sum D_i), each scaled to the same total variance."""
    scaled = []
    for block in blocks:
        variance = float(block.var(axis=0, dtype=np.float64).sum())
        scaled.append(block / np.float32(np.sqrt(variance) if variance > 0 else 1.0))
    return np.concatenate(scaled, axis=1)


def _brightness(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = SIDE_PX // _COARSE_PX
    coarse = batch.reshape(-1, _COARSE_PX, step, _COARSE_PX, step).mean(axis=(2, 4), dtype=np.float32)
    flat = coarse.reshape(len(batch), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    centred: NDArray[np.float32] = flat / (flat.std(axis=1, keepdims=True) + np.float32(_FLAT_LEVELS))
    return centred


def _edges(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the normalised histograms (B, blocks * 4 cells * directions)."""
    cells = _histograms(batch)
    blocks = np.concatenate(
        [cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:]], axis=-1
    )
    length = np.linalg.norm(blocks, axis=-1, keepdims=True)
    rooted: NDArray[np.float32] = np.sqrt(blocks / (length + _FLAT_GRADIENTS)).astype(np.float32)
    return rooted.reshape(len(batch), -1)


def _histograms(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return gradient strength (B, cells, cells, directions), each shared by the two nearest directions."""
    grey = batch.astype(np.float32)
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(across, down).ravel()
    turn = (np.arctan2(down, across).ravel() % np.float32(np.pi)) * np.float32(_DIRECTIONS / np.pi)
    lower = turn.astype(np.int64) % _DIRECTIONS
    share = turn - np.floor(turn)
    place = np.arange(SIDE_PX) // _CELL_PX
    cell = (np.arange(len(batch))[:, None, None] * _CELLS + place[:, None]) * _CELLS + place
    first = cell.ravel() * _DIRECTIONS
    size = len(batch) * _CELLS * _CELLS * _DIRECTIONS
    histogram = np.bincount(first + lower, strength * (1 - share), size)
    histogram += np.bincount(first + (lower + 1) % _DIRECTIONS, strength * share, size)
    return histogram.reshape(len(batch), _CELLS, _CELLS, _DIRECTIONS).astype(np.float32)


# Measured on PneumoniaMNIST's train with 5 % of its labels flipped (tests/benchmarks/bench_label_errors.py).
_COMPONENTS = 200
_INVERSE_PENALTY = 0.03
_ITERATIONS = 500
# Of a class no more than this share is left out of the second round.
_LEFT_OUT = 0.5


@dataclass(frozen=True)
class Probabilities:
    """What models of the other folds say of N images.

    Args:
        final: (N, C), of models that doubtful labels did not teach.
        first: (N, C), of models that all labels taught. Only these tell how well the features work: which labels
            are doubtful was found with the help of every image, the held ones too.
    """

    final: NDArray[np.float64]
    first: NDArray[np.float64]


def out_of_fold(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    *,
    classes: int,
    progress: Progress = SilentProgress(),
) -> Probabilities:
    """Return probabilities of features by logistic regression, fitted on the other folds.

    In two rounds: the labels that the first finds wrong (`confident_learning`) teach nobody in the second, which
    still answers for all images.

    Args:
        features: (N, D).
        labels: (N,), every class in at least two folds.
        folds: (N,), see `audit.shortcuts.separability.folds_by_patient`.
    """
    progress.start("comparing labels with looks", 2 * FOLDS)
    try:
        taught = np.ones(len(labels), dtype=bool)
        first = _round(features, labels, folds, taught, classes, progress)
        doubted = confident_learning(labels, first).issues
        for k in range(classes):
            own = labels == k
            if doubted[own].mean() <= _LEFT_OUT:
                taught[own & doubted] = False
        return Probabilities(_round(features, labels, folds, taught, classes, progress), first)
    finally:
        progress.finish()


def mean_auroc(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve of each class against the rest, averaged over classes; 0..1.

    Args:
        labels: (N,), at least two classes occur.
    """
    occurring = np.unique(labels)
    return float(np.mean([delong(labels == k, probabilities[:, k])[0] for k in occurring]))


def _round(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    taught: NDArray[np.bool_],
    classes: int,
    progress: Progress,
) -> NDArray[np.float64]:
    probabilities = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        held = folds == fold
        own = ~held & taught
        model = FeatureClassifier(features[own], labels[own])
        probabilities[np.ix_(held, model.classes)] = model.probabilities(features[held])
        progress.advance()
    return probabilities


class FeatureClassifier:
    """Logistic regression on principal components that are half whitened.

    Whitened fully, the many components of noise count as much as the few that tell classes apart, which drowns the
    classes of small data sets; not at all, only the few largest are seen.

    Args:
        features: (N, D).
        labels: (N,).
    """

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        components = max(1, min(_COMPONENTS, features.shape[1], len(features) // 2))
        self._components = PCA(components, svd_solver="randomized", random_state=0)
        rotated = self._components.fit_transform(features)
        deviations = np.sqrt(np.maximum(self._components.explained_variance_, np.finfo(np.float32).tiny))
        # Each divided by the root of its deviation, then all by one number: the mean variance becomes 1.
        self._scale = np.sqrt(deviations) * np.sqrt(deviations.mean())
        self._regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_ITERATIONS)
        self._regression.fit(rotated / self._scale, labels)
        self.classes: NDArray[np.int64] = self._regression.classes_

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N, C) in the order of `classes`."""
        rotated = self._components.transform(features) / self._scale
        return np.asarray(self._regression.predict_proba(rotated), dtype=np.float64)
