"""Specificity: of those without the disease, the share that was left alone."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, proportion


@METRICS.register("specificity")
def specificity(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FP)."""
    (cleared, alarms), _ = view.table.tolist()
    return proportion(cleared, cleared + alarms, undefined="every image is of this class")
