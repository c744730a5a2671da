"""F1: the harmonic mean of precision and recall."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, diagonal, divided, of_view


def f1s_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 (B, K) of each class of (B, K, K) tables, NaN where a class is neither true nor called."""
    return divided(2 * diagonal(tables), tables.sum(axis=1) + tables.sum(axis=2))


@METRICS.register("f1")
def f1(view: OneVsRest) -> Estimate:
    """Return 2 TP / (2 TP + FP + FN)."""
    undefined = "this class occurs neither in reference nor in decision"
    return of_view(view, lambda tables: f1s_of(tables)[:, 1], undefined=undefined)
