"""Probabilities of images by models that have seen neither them nor anything of their patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from medimg_cli.audit.label_quality.confident_learning import confident_learning
from medimg_cli.dataset.stratify import deal_evenly
from medimg_cli.statistics.areas import delong
from medimg_cli.workspace.progress import Progress, SilentProgress

FOLDS = 5
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


def grouped_folds(labels: NDArray[np.int64], groups: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """Return the fold 0..4 of each image (N,): whole groups, each class as even as groups allow."""
    dealt = [""] * len(labels)
    names = [str(label) for label in labels]
    deal_evenly(dealt, names, groups, fractions={str(k): 1 / FOLDS for k in range(FOLDS)}, seed=seed)
    return np.array([int(fold) for fold in dealt], dtype=np.int64)


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
        folds: (N,), see `grouped_folds`.
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
