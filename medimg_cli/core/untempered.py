"""Probabilities as they were before their logits were divided by a temperature."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.answers import AnswerKind, of_grades, sigmoid, softmax

_LEAST = 1e-30


def without_temperature(
    probabilities: NDArray[np.float64], temperature: float, kind: AnswerKind
) -> NDArray[np.float64]:
    """Return what a network's probabilities would be at temperature 1.

    Logits are known from probabilities up to what does not matter: a softmax forgets a constant, and takes
    p ∝ p^temperature back; a label's logit is ln(p / (1 − p)); a grade's is that of P(grade > k) among those at least k.

    Args:
        probabilities: (N, C), 0..1, of `answers.probabilities_from(logits / temperature, kind)`.
        temperature: above 0.
    """
    if kind == "softmax":
        return softmax(temperature * _log(probabilities))
    if kind == "sigmoid":
        return sigmoid(temperature * (_log(probabilities) - _log(1 - probabilities)))
    at_least = np.cumsum(probabilities[:, ::-1], axis=1)[:, ::-1]
    steps = np.zeros_like(probabilities)
    steps[:, :-1] = _log(at_least[:, 1:]) - _log(probabilities[:, :-1])
    return of_grades(temperature * steps)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(values, _LEAST))
    return logs
