"""From a network's logits to probabilities: one class of several, several labels, or grades."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AnswerKind = Literal["softmax", "sigmoid", "ordinal"]
"""softmax: one class an image; sigmoid: several labels an image; ordinal: one of several grades."""

_LEAST = 1e-12
_FAINTEST = 1e-30


def probabilities_from(logits: NDArray[np.float64], kind: AnswerKind = "softmax") -> NDArray[np.float64]:
    """Return probabilities (N, C), 0..1, of logits (N, C); but for `sigmoid` the rows sum to 1."""
    if kind == "sigmoid":
        return sigmoid(logits)
    return softmax(logits) if kind == "softmax" else of_grades(logits)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (N, C) whose rows sum to 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    whole: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return whole


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability (N, C) of each label on its own."""
    small = np.exp(-np.abs(logits))
    answer: NDArray[np.float64] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return answer


def of_grades(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability (N, C) of each grade.

    Logit k says whether the grade is above k, of an image known to be at least k; the last of the C logits has no
    question to answer. Their running product is P(grade > k), which cannot rise with k (CORN: Shi, Cao, Raschka.
    Pattern Anal Appl 2023, arXiv:2111.08851); the differences are the grades' own.

    >>> of_grades(np.array([[0.0, 0.0, 9.9]])).tolist()
    [[0.5, 0.25, 0.25]]
    """
    above = np.cumprod(sigmoid(logits[:, :-1]), axis=1)
    edges = np.ones((len(logits), 1))
    return -np.diff(np.concatenate([edges, above, np.zeros_like(edges)], axis=1), axis=1)


def log_loss_of(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64] | NDArray[np.float32]
) -> float:
    """Return the mean negative log likelihood of what is known; NaN where nothing is.

    Args:
        probabilities: (N, C).
        targets: (N,) class indices, or (N, C) of 1, 0 and NaN for unknown.
    """
    if targets.ndim == 1:
        likelihood = probabilities[np.arange(len(targets)), targets.astype(np.int64)]
    else:
        likelihood = np.where(targets == 1, probabilities, 1 - probabilities)[~np.isnan(targets)]
    return float(-np.log(np.maximum(likelihood, _LEAST)).mean()) if len(likelihood) else float("nan")


def questions_of(
    logits: NDArray[np.float64], targets: NDArray[np.int64] | NDArray[np.float32], kind: AnswerKind
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what the network was asked as choices of which exactly one is right: logits (M, K), targets (M,).

    One class an image is one choice an image. A label that somebody judged is a choice between no and yes, and so is
    each step that a grade had to take or refuse: the softmax of (0, z) is the sigmoid of z. Whatever is fitted to
    choices, such as a temperature, so fits all three kinds.
    """
    if kind == "softmax":
        return logits, targets.astype(np.int64)
    if kind == "sigmoid":
        asked, is_yes = ~np.isnan(targets), targets == 1
    else:
        steps = np.arange(logits.shape[1] - 1)
        logits = logits[:, :-1]
        asked, is_yes = targets[:, None] >= steps, targets[:, None] > steps
    yes = logits[asked]
    return np.stack([np.zeros_like(yes), yes], axis=1), is_yes[asked].astype(np.int64)


def recalibrated(
    probabilities: NDArray[np.float64], scale: float, shift: Sequence[float], *, several: bool
) -> NDArray[np.float64]:
    """Return probabilities (N, C) after log probabilities, of several labels logits, were scaled and shifted.

    Args:
        scale: above 0; 1 / temperature.
        shift: (C,), added after scaling.
    """
    logs = np.log(np.maximum(probabilities, _FAINTEST))
    if several:
        return sigmoid(scale * (logs - np.log(np.maximum(1 - probabilities, _FAINTEST))) + np.asarray(shift))
    return softmax(scale * logs + np.asarray(shift))
