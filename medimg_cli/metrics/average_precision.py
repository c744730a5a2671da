"""Average precision: the precision–recall curve as one number."""

from sklearn.metrics import average_precision_score

from medimg_cli.core.evaluation import Estimate
from medimg_cli.metrics import METRICS, OneVsRest


@METRICS.register("average_precision")
def average_precision(view: OneVsRest) -> Estimate:
    """Return the sum of precision over the steps in recall; a random score gets the prevalence."""
    if not view.truth.any():
        return Estimate(value=None, n=view.n, reason="no image of this class")
    return Estimate(value=float(average_precision_score(view.truth, view.score)), n=view.n)
