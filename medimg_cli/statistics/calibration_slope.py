"""Calibration slope and intercept: how the logits of probabilities would have to be moved to be true.

Cox DR. Biometrika 1958;45:562-565; Van Calster B et al. BMC Med 2019;17:230.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.statistics.probabilities import sigmoid
from medimg_cli.statistics.sampling import different

_STEPS = 100
_HALVINGS = 40
_CLOSE = 1e-10
_MOST_LEVERAGE = 0.9
_NOISE = 1e-13  # rounding of a log likelihood, next to which a last small step looks like one down
_NEAREST = 1e-15  # to 0 and 1, where the logit would be infinite


@dataclass(frozen=True)
class Fitted:
    """One coefficient of a logistic regression.

    Args:
        value: its maximum-likelihood estimate.
        variance: of the estimate; where images are of patients the sandwich summed by patient (Liang KY, Zeger SL.
            Biometrika 1986;73:13-22), else the inverse of the information.
        cautious: variance that an interval is made of: the sandwich of what is left when each image, or patient, is left
            out in turn (Mancl LA, DeRouen TA. Biometrics 2001;57:126-134), but no less than `variance`. The other one takes
            a model that is not true at its word, and is too small of few.
        design_effect: that variance over the sandwich of as many independent images; None where images are independent.
    """

    value: float
    variance: float
    cautious: float
    design_effect: float | None = None


def logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log odds (N,) of probabilities; what is closer than 1e-15 to 0 or 1 counts as that far away."""
    inside = np.clip(probability, _NEAREST, 1 - _NEAREST)
    return np.log(inside) - np.log1p(-inside)


def slope_of(
    truth: NDArray[np.bool_], score: NDArray[np.float64], unit_of: NDArray[np.int64] | None = None
) -> Fitted | str:
    """Return the slope of a logistic regression of the outcome on the logit of its probability.

    Args:
        truth: (N,), True where the outcome is there.
        score: (N,), its probability, 0..1.
        unit_of: (N,), the patient of each image, where some have several; None = images are independent.

    Returns:
        One line why there is none: one outcome only, one probability only, or outcomes that a cut through the
        probabilities tells apart, for which no slope is steep enough.
    """
    reason = _why_none(truth)
    if reason:
        return reason
    x = logit(score)
    if np.ptp(x) == 0:
        return "all probabilities are the same"
    ill, well = x[truth], x[~truth]
    if well.max() <= ill.min() or ill.max() <= well.min():
        return "a cut tells the outcomes apart without an error: no slope is steep enough"
    centre, scale = float(x.mean()), float(x.std())
    design = np.stack([np.ones(len(x)), (x - centre) / scale], axis=1)
    fitted = _coefficient(design, np.zeros(len(x)), truth, unit_of, of=1)
    return Fitted(
        fitted.value / scale, fitted.variance / scale**2, fitted.cautious / scale**2, fitted.design_effect
    )


def intercept_of(
    truth: NDArray[np.bool_], score: NDArray[np.float64], unit_of: NDArray[np.int64] | None = None
) -> Fitted | str:
    """Return by how much all logits would have to rise for the mean probability to be right; the slope stays 1.

    Args, Returns: as `slope_of` has them; the probabilities may be all the same, and tell the outcomes apart.
    """
    reason = _why_none(truth)
    if reason:
        return reason
    return _coefficient(np.ones((len(truth), 1)), logit(score), truth, unit_of, of=0)


def _why_none(truth: NDArray[np.bool_]) -> str:
    return "only one class occurs" if truth.all() or not truth.any() else ""


def _coefficient(
    design: NDArray[np.float64],
    offset: NDArray[np.float64],
    truth: NDArray[np.bool_],
    unit_of: NDArray[np.int64] | None,
    *,
    of: int,
) -> Fitted:
    """Return coefficient `of` of a logistic regression on `design` (N, F) beside a fixed `offset` (N,)."""
    found = _most_likely(design, offset, truth)
    chance = sigmoid(offset + design @ found)
    inverse = np.linalg.inv(_information(design, chance))
    scores = design * (truth - chance)[:, None] @ inverse[:, of]
    units = np.arange(len(truth)) if unit_of is None else unit_of
    leverage = ((design @ inverse) * design).sum(axis=1) * chance * (1 - chance)
    by_unit, held = (np.bincount(units, weights=each) for each in (scores, leverage))
    count = different(units, int(units.max()) + 1)
    correction = count / (count - 1) if count > 1 else 1.0
    left_out = by_unit / (1 - np.minimum(held, _MOST_LEVERAGE))
    cautious = correction * float(left_out @ left_out)
    if unit_of is None:
        return Fitted(float(found[of]), float(inverse[of, of]), max(cautious, float(inverse[of, of])))
    variance, independent = correction * float(by_unit @ by_unit), float(scores @ scores)
    effect = variance / independent if independent > 0 else None
    return Fitted(float(found[of]), variance, max(cautious, variance), effect)


def _most_likely(
    design: NDArray[np.float64], offset: NDArray[np.float64], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the coefficients (F,) of the highest likelihood, by Newton's steps, halved where they lead down."""
    found = np.zeros(design.shape[1])
    here = _log_likelihood(offset + design @ found, truth)
    for _ in range(_STEPS):
        chance = sigmoid(offset + design @ found)
        rising = design.T @ (truth - chance)
        step = np.linalg.lstsq(_information(design, chance), rising, rcond=None)[0]
        for _ in range(_HALVINGS):
            there = _log_likelihood(offset + design @ (found + step), truth)
            if there >= here - _NOISE * abs(here):
                break
            step = step / 2
        else:
            return found
        found, here = found + step, there
        if np.abs(step).max() < _CLOSE:
            break
    return found


def _information(design: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = design.T @ (design * (chance * (1 - chance))[:, None])
    return matrix


def _log_likelihood(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(-np.logaddexp(0, np.where(truth, -logits, logits)).sum())
