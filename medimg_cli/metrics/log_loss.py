"""Log loss."""

import numpy as np

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, of_mean

_SMALLEST = float(np.finfo(np.float32).eps)


@METRICS.register("log_loss")
def log_loss(view: OneVsRest) -> Estimate:
    """Return the mean of -ln(probability given to what was true); probabilities are kept off 0 and 1."""
    score = np.clip(view.score, _SMALLEST, 1 - _SMALLEST)
    return of_mean(view, -np.log(np.where(view.truth, score, 1 - score)))
