"""Precision (positive predictive value): of those called, the share that has the disease."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, proportion


@METRICS.register("precision")
def precision(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FP), at this split's prevalence."""
    (_, alarms), (_, found) = view.table.tolist()
    return proportion(found, found + alarms, undefined="no image was called this class")
