"""Negative predictive value: of those not called, the share without the disease."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, proportion


@METRICS.register("npv")
def npv(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FN), at this split's prevalence."""
    (cleared, _), (missed, _) = view.table.tolist()
    return proportion(cleared, cleared + missed, undefined="every image was called this class")
