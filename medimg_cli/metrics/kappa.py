"""Cohen's kappa of reference standard and decision."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, divided, of_view


def kappa_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (observed - expected agreement) / (1 - expected agreement) of (B, K, K) tables, NaN where 0/0."""
    n = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / n
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
    return divided(observed - expected, 1 - expected)


@METRICS.register("kappa")
def kappa(view: OneVsRest) -> Estimate:
    """Return kappa of this class against the rest, at most 1. Cohen J. Educ Psychol Meas 1960;20:37-46."""
    return of_view(view, kappa_of, undefined="only one class occurs in reference and decision")
