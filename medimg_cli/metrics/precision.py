"""Precision (positive predictive value): of those called, the share that has the disease."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import FP, METRICS, TP, OneVsRest, share


@METRICS.register("precision")
def precision(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FP), at this split's prevalence."""
    return share(view, [TP], [FP, TP], undefined="no image was called this class")
