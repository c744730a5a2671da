"""Logistic regression with an L2 penalty whose strength folds choose: one class of several, several labels, or grades."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medimg_cli.statistics.probabilities import AnswerKind

# Inverse penalties times the number of features, so that networks of any width have the same choice. MobileNetV2's
# features of 200 breast ultrasound images ask for 10 to 30, macro AUROC 0.899 against 0.889 of scikit-learn's C = 1.
STRENGTHS = tuple(10.0 ** (half / 2) for half in range(-4, 7))
_UNTRIED = 10.0
_TOLERANCE, _ITERATIONS = 1e-4, 1000
_SPREAD = 1e-3  # of the mean spread; what varies less says nothing and would be blown up


@dataclass(frozen=True)
class LinearLayer:
    """What a fit comes to: logits = features @ weight.T + bias.

    Args:
        weight: (C, D) float64.
        bias: (C,) float64.
        strengths: the inverse penalty chosen for each question, times D: one of several classes is one question, each
            label and each step of grades is one of its own.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class _Question:
    """One regression: which images take part (N,), their answers (N,), and the rows of the layer that it fills."""

    asked: NDArray[np.bool_]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    rows: Sequence[int]


def fit_logistic(
    features: NDArray[np.float32],
    targets: NDArray[np.int64] | NDArray[np.float32],
    folds: NDArray[np.int64],
    *,
    kind: AnswerKind = "softmax",
    class_weights: NDArray[np.float64],
    intercept: bool = True,
) -> LinearLayer:
    """Return the linear layer with the least penalised, weighted log loss on standardised features, by L-BFGS.

    The strength of the penalty is the one with the least weighted log loss on held out folds; where no fold can be
    held out because a class has images in one fold alone, it is 10 / D.

    Args:
        features: (N, D).
        targets: (N,) class indices, or, of several labels an image, (N, C) of 1, 0 and NaN for unknown.
        folds: (N,), whole patients in each; see `audit.shortcuts.separability.folds_by_patient`.
        kind: which logits are wanted, see `probabilities_from`.
        class_weights: (C,), of each class; of several labels, of each label's positives.
        intercept: False for a layer without bias; features are then scaled and not centred.
    """
    spread = features.std(axis=0)
    scale = np.maximum(spread, np.float32(_SPREAD) * spread.mean() + np.finfo(np.float32).tiny)
    centre = features.mean(axis=0) if intercept else np.zeros_like(scale)
    standard = (features - centre) / scale
    classes = len(class_weights)
    weight, bias, strengths = np.zeros((classes, features.shape[1])), np.zeros(classes), []
    for question in _questions(targets, kind, class_weights):
        own = standard[question.asked], question.labels[question.asked], question.weights[question.asked]
        if len(np.unique(own[1])) < 2:
            yes = int(own[1].sum())
            # Nothing to tell apart: the odds of the only label, none quite certain.
            bias[question.rows[-1]] = math.log((yes + 0.5) / (len(own[1]) - yes + 0.5))
            continue
        strength = _strength(*own, folds[question.asked], intercept)
        strengths.append(strength)
        found = _regression(strength, features.shape[1], intercept)
        _quietly(found, *own)
        rows = question.rows if len(question.rows) == len(found.coef_) else question.rows[-1:]
        weight[rows] = found.coef_
        bias[rows] = found.intercept_
    weight /= scale
    return LinearLayer(weight, bias - weight @ centre, tuple(strengths))


def _questions(
    targets: NDArray[np.int64] | NDArray[np.float32], kind: AnswerKind, class_weights: NDArray[np.float64]
) -> list[_Question]:
    classes = range(len(class_weights))
    if kind == "sigmoid":
        return [
            _Question(
                ~np.isnan(targets[:, k]),
                (targets[:, k] == 1).astype(np.int64),
                np.where(targets[:, k] == 1, class_weights[k], 1.0),
                [k],
            )
            for k in classes
        ]
    labels = targets.astype(np.int64)
    weights = class_weights[labels]
    if kind == "ordinal":  # CORN, see `probabilities.of_grades`
        return [_Question(labels >= k, (labels > k).astype(np.int64), weights, [k]) for k in classes[:-1]]
    return [_Question(np.ones(len(labels), dtype=bool), labels, weights, list(classes))]


def _strength(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    folds: NDArray[np.int64],
    intercept: bool,
) -> float:
    """Return the strength with the least weighted log loss on folds whose rest holds every answer."""
    losses, answers = np.zeros(len(STRENGTHS)), np.unique(labels)
    held_out = [folds == fold for fold in np.unique(folds)]
    tried = [held for held in held_out if len(np.unique(labels[~held])) == len(answers)]
    if not set(answers) <= {each for held in tried for each in labels[held]}:
        return _UNTRIED  # what holds for one class alone would choose for all
    for held in tried:
        regression = _regression(STRENGTHS[0], features.shape[1], intercept)
        for place, strength in enumerate(STRENGTHS):  # each starts from the one before
            regression.C = strength / features.shape[1]
            _quietly(regression, features[~held], labels[~held], weights[~held])
            likely = regression.predict_proba(features[held])
            own = likely[np.arange(len(likely)), np.searchsorted(answers, labels[held])]
            losses[place] -= weights[held] @ np.log(np.maximum(own, np.finfo(np.float32).tiny))
    return float(STRENGTHS[int(losses.argmin())])


def _regression(strength: float, width: int, intercept: bool) -> LogisticRegression:
    return LogisticRegression(
        C=strength / width,
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
        warm_start=True,
        fit_intercept=intercept,
    )


def _quietly(
    regression: LogisticRegression,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> None:
    """Fit; where classes are told apart without an error a weak penalty converges slowly, and is seldom chosen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(features, labels, sample_weight=weights)
