"""Specificity: of those without the disease, the share that was left alone."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import FP, METRICS, TN, OneVsRest, share


@METRICS.register("specificity")
def specificity(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FP)."""
    return share(view, [TN], [TN, FP], undefined="every image is of this class")
