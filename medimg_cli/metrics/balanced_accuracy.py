"""Balanced accuracy: the mean of recall and specificity."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, diagonal, divided, of_view


def balanced_accuracy_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean recall over the classes of (B, K, K) tables, NaN where a class does not occur."""
    means: NDArray[np.float64] = divided(diagonal(tables), tables.sum(axis=2)).mean(axis=1)
    return means


@METRICS.register("balanced_accuracy")
def balanced_accuracy(view: OneVsRest) -> Estimate:
    """Return (recall + specificity) / 2; it does not depend on prevalence."""
    return of_view(view, balanced_accuracy_of, undefined="only one class occurs")
