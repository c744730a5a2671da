"""Cohen's kappa of reference standard and decision."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest, divided, of_view
from medimg_cli.statistics.estimate import Estimate


def kappa_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (observed - expected agreement) / (1 - expected agreement) of (B, K, K) tables, NaN where 0/0."""
    n = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / n
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
    return divided(observed - expected, 1 - expected)


def weighted_kappa_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quadratically weighted kappa of (B, K, K) tables of grades in their order, NaN where 0/0.

    A decision two grades away weighs four times as much as one next door. Cohen J. Psychol Bull 1968;70:213-220.
    """
    grades = np.arange(tables.shape[1])
    apart = (grades[:, None] - grades) ** 2
    n = tables.sum(axis=(1, 2))
    observed = (tables * apart).sum(axis=(1, 2)) / n
    expected = ((tables.sum(axis=2) @ apart) * tables.sum(axis=1)).sum(axis=1) / n**2
    return 1 - divided(observed, expected)


@METRICS.register("kappa")
def kappa(view: OneVsRest) -> Estimate:
    """Return kappa of this class against the rest, at most 1. Cohen J. Educ Psychol Meas 1960;20:37-46."""
    return of_view(view, kappa_of, undefined="only one class occurs in reference and decision")
