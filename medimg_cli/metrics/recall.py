"""Recall (sensitivity): of those with the disease, the share that was found."""

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest, proportion


@METRICS.register("recall")
def recall(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FN)."""
    _, (missed, found) = view.table.tolist()
    return proportion(found, found + missed, undefined="no image of this class")
