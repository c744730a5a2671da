"""Negative predictive value: of those not called, the share without the disease."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import FN, METRICS, TN, OneVsRest, share


@METRICS.register("npv")
def npv(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FN), at this split's prevalence."""
    return share(view, [TN], [TN, FN], undefined="every image was called this class")
