"""Accuracy: the share of right decisions."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, proportion


@METRICS.register("accuracy")
def accuracy(view: OneVsRest) -> Estimate:
    """Return (TP + TN) / N, at this split's prevalence."""
    (cleared, _), (_, found) = view.table.tolist()
    return proportion(cleared + found, view.n, undefined="no image")
