"""Matthews correlation coefficient of reference standard and decision."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, divided, of_view


def mcc_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficient of (B, K, K) tables, -1..1, NaN where a margin is empty.

    Gorodkin J. Comput Biol Chem 2004;28:367-374; for two classes it is Matthews' own.
    """
    n = tables.sum(axis=(1, 2))
    called, true = tables.sum(axis=1), tables.sum(axis=2)
    covariance = np.trace(tables, axis1=1, axis2=2) * n - (called * true).sum(axis=1)
    return divided(covariance, np.sqrt((n**2 - (called**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))))


@METRICS.register("mcc")
def mcc(view: OneVsRest) -> Estimate:
    """Return the coefficient of this class against the rest. Matthews BW. Biochim Biophys Acta 1975;405:442-451."""
    return of_view(view, mcc_of, undefined="a row or column of the table is empty")
