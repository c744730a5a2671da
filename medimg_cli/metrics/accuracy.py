"""Accuracy: the share of right decisions."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import FN, FP, METRICS, TN, TP, OneVsRest, share


@METRICS.register("accuracy")
def accuracy(view: OneVsRest) -> Estimate:
    """Return (TP + TN) / N, at this split's prevalence."""
    return share(view, [TN, TP], [TN, FP, FN, TP], undefined="no image")
