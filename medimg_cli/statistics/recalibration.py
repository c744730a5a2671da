"""How a model's probabilities are adapted to another place from few labelled cases there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2

from medimg_cli.statistics.probabilities import log_loss_of, recalibrated

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
    alone = minimize(loss, start, method="L-BFGS-B", bounds=[(0, 0), *[(-20, 20)] * free]).x
    asked = int((~np.isnan(targets)).sum()) if several else len(targets)
    losses = [log_loss_of(changed(each), targets) for each in (start, alone, whole)]
    before, shifted, both = losses
    p_any = float(chi2.sf(max(0.0, 2 * asked * effective * (before - both)), 1 + free))
    if not p_any < SIGNIFICANT:
        return Adapted("none", 1.0, (0.0,) * classes, p_any, None, before, before)
    p_scale = float(chi2.sf(max(0.0, 2 * asked * effective * (shifted - both)), 1))
    method: Method = "temperature and intercept" if p_scale < SIGNIFICANT else "intercept"
    chosen = whole if method != "intercept" else alone
    shift = chosen[1:] if several else np.r_[0.0, chosen[1:]]
    after = both if method != "intercept" else shifted
    return Adapted(method, float(np.exp(chosen[0])), tuple(shift.tolist()), p_any, p_scale, before, after)


_PRIOR = 0.02
