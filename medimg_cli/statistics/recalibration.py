"""How a model's probabilities are adapted to another place from few labelled cases there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from medimg_cli.statistics.probabilities import (
    AnswerKind,
    log_loss_of,
    of_grades,
    recalibrated,
    sigmoid,
    softmax,
)

COLDEST, HOTTEST = 0.05, 20.0
"""What a temperature may be; beyond, probabilities are 0 and 1, or all the same, to every digit one would read."""


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature.

    Args:
        temperature: in 0.05..20; above 1 the network was too sure of itself, below 1 not sure enough.
        remark: why it is not what the images alone ask for, "" where it is.
    """

    temperature: float
    remark: str = ""


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> Calibration:
    """Return the temperature T for which softmax(logits / T) has the least log loss.

    Guo C et al. ICML 2017, arXiv:1706.04599. The truth is not taken as quite certain: an image of a class with n
    images counts as that class to (n + 1) / (n + 2), the rest to the others (Platt J. Advances in Large Margin
    Classifiers 1999). Many images make no difference of it; few that happen to be told apart without an error would
    otherwise ask for a temperature of 0. The loss is convex in 1 / T, so there is one answer and it is found.

    Args:
        logits: (N, C) of images that the network was not fitted to.
        targets: (N,) class indices.
    """
    if not np.isfinite(logits).all():
        return Calibration(1.0, "its logits are not all numbers")
    if len(np.unique(targets)) < 2:
        return Calibration(1.0, "only one class is there to fit it to")
    centred = logits - logits.mean(axis=1, keepdims=True)
    if not np.abs(centred).max() > 0:
        return Calibration(1.0, "its logits do not tell the classes apart")
    likely = _uncertain(targets, logits.shape[1])

    def slope(inverse: float) -> float:
        """Return the derivative of the log loss by 1 / T; it rises with 1 / T."""
        return float(((softmax(inverse * centred) - likely) * centred).sum(axis=1).mean())

    if slope(1 / HOTTEST) >= 0:
        return Calibration(
            HOTTEST, f"its logits say next to nothing, so it stays at the limit of {HOTTEST:g}"
        )
    if slope(1 / COLDEST) <= 0:
        return Calibration(
            COLDEST, f"its logits are next to nothing, so it stays at the limit of {COLDEST:g}"
        )
    return Calibration(1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12, rtol=1e-12)))


def _uncertain(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return how likely each image is of each class (N, C), by how many images a class has to speak for it."""
    own = 1 / (np.bincount(targets, minlength=classes)[targets] + 2.0)
    likely = np.repeat((own / (classes - 1))[:, None], classes, axis=1)
    likely[np.arange(len(targets)), targets] = 1 - own
    return likely


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


SIGNIFICANT = 0.05
Method = Literal["none", "intercept", "temperature and intercept"]


@dataclass(frozen=True)
class Adapted:
    """What is to be done to the probabilities.

    Args:
        method: none where the cases do not show that anything has to be.
        scale, shift: as `statistics.probabilities.recalibrated` takes them.
        p_any, p_scale: of the tests for any change, and for one of the scale beside the intercept; None where not made.
        before, after: mean log loss on the cases.
    """

    method: Method
    scale: float
    shift: tuple[float, ...]
    p_any: float | None
    p_scale: float | None
    before: float
    after: float


def adapt(
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64] | NDArray[np.float32],
    *,
    effective: float = 1.0,
) -> Adapted:
    """Return the least change that the cases ask for: none, an intercept, or temperature and intercept.

    A closed test, which keeps the model as it is unless both together are significantly better, and then takes the
    intercept alone unless the temperature adds to it (Vergouwe Y et al. Stat Med 2017;36:4529-4539): with few cases it
    changes nothing, and needs no limit on how many.

    Args:
        probabilities: (N, C) of the model, N at least 1.
        targets: (N,) class indices, or (N, C) of 1, 0 and NaN for unknown.
        effective: independent cases for each case, below 1 where patients have several; the tests count so many.
    """
    classes, several = probabilities.shape[1], targets.ndim == 2
    free = classes if several else classes - 1  # of several classes only differences of the shifts matter

    def changed(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        shift = parameters[1:] if several else np.r_[0.0, parameters[1:]]
        return recalibrated(probabilities, float(np.exp(parameters[0])), shift.tolist(), several=several)

    def loss(parameters: NDArray[np.float64]) -> float:
        # A weak normal prior keeps the shift finite where a class is missing among the cases.
        return log_loss_of(changed(parameters), targets) + _PRIOR * float(parameters @ parameters) / len(
            targets
        )

    start = np.zeros(1 + free)
    whole = minimize(loss, start, method="L-BFGS-B", bounds=[(-3, 3), *[(-20, 20)] * free]).x
    intercept_only = minimize(loss, start, method="L-BFGS-B", bounds=[(0, 0), *[(-20, 20)] * free]).x
    asked = int((~np.isnan(targets)).sum()) if several else len(targets)
    losses = [log_loss_of(changed(each), targets) for each in (start, intercept_only, whole)]
    before, shifted, both = losses
    p_any = float(chi2.sf(max(0.0, 2 * asked * effective * (before - both)), 1 + free))
    if not p_any < SIGNIFICANT:
        return Adapted("none", 1.0, (0.0,) * classes, p_any, None, before, before)
    p_scale = float(chi2.sf(max(0.0, 2 * asked * effective * (shifted - both)), 1))
    method: Method = "temperature and intercept" if p_scale < SIGNIFICANT else "intercept"
    chosen = whole if method != "intercept" else intercept_only
    shift = chosen[1:] if several else np.r_[0.0, chosen[1:]]
    after = both if method != "intercept" else shifted
    return Adapted(method, float(np.exp(chosen[0])), tuple(shift.tolist()), p_any, p_scale, before, after)


_PRIOR = 0.02
