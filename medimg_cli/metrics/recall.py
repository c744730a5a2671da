"""Recall (sensitivity): of those with the disease, the share that was found."""

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.metrics import FN, METRICS, TP, OneVsRest, share


@METRICS.register("recall")
def recall(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FN)."""
    return share(view, [TP], [FN, TP], undefined="no image of this class")
