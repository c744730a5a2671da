"""Logarithmic loss (negative log-likelihood a case, natural logarithm)."""

import numpy as np

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest

_SMALLEST = float(np.finfo(np.float32).eps)


@METRICS.register("log_loss")
def log_loss(view: OneVsRest) -> Estimate:
    """Return the mean of -ln(probability given to what was true); probabilities are kept off 0 and 1."""
    if view.n == 0:
        return Estimate(value=None, n=0, reason="no image")
    score = np.clip(view.score, _SMALLEST, 1 - _SMALLEST)
    return Estimate(value=float(-np.log(np.where(view.truth, score, 1 - score)).mean()), n=view.n)
