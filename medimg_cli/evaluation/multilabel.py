"""Several labels an image: each is a question of its own.

Figures are of the images of which somebody judged the label, and means over labels are of those that the split shows
with and without.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import (
    FN,
    FP,
    METRICS,
    TN,
    TP,
    Floats,
    OneVsRest,
    bounded,
    divided,
    even_size,
    mean_of,
    slopes,
)
from medimg_cli.evaluation.metrics.probability import label_log_losses
from medimg_cli.evaluation.metrics.ranking import Rows, mean_area
from medimg_cli.evaluation.summary import OF_EACH_CLASS, OF_POSITIVE
from medimg_cli.statistics.areas import auroc_influence, average_precision_influence
from medimg_cli.statistics.estimate import Estimate

_OF_COUNTS: Mapping[str, Callable[[Floats], Floats]] = {
    "recall": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FN]),
    "precision": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FP]),
    "specificity": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FP]),
    "npv": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FN]),
    "f1": lambda cells: divided(2 * cells[..., TP], 2 * cells[..., TP] + cells[..., FP] + cells[..., FN]),
}
"""Figure → (B, K, 4) counts to its value (B, K), NaN where undefined."""
NO_CONFUSION = "several labels an image: none of them excludes another"


def overall_of_labels(answered: Answered) -> dict[str, Estimate]:
    """Return the figures of the positive label where there is one, and means over labels."""
    figures: dict[str, Estimate] = {}
    positive = answered.labels.positive
    if positive is not None:
        view = answered.view_of(positive)
        figures |= {name: METRICS.get(name)(view) for name in OF_POSITIVE}
    figures |= _means_of_labels(answered)
    losses, judged = label_log_losses(answered.probabilities, answered.marks)
    figures["log_loss"] = mean_of(losses, judged, answered.sampling, undefined="nobody judged a label")
    return figures


def _means_of_labels(answered: Answered) -> dict[str, Estimate]:
    """Return the mean of each figure over the labels that the split shows with and without, with its interval.

    A label that was never called has no precision: its mean leaves it out. An image, or patient, that adds to several
    labels counts in all of them.
    """
    both = [name for name, view in answered.views.items() if view.has_both]
    if not both:
        none = Estimate(value=None, n=answered.n, reason="no label with and without it in the split")
        return {f"macro_{name}": none for name in OF_EACH_CLASS}
    labels = [(answered.views[name], answered.judged[name]) for name in both]
    means = {name: _mean_over(answered, labels, of) for name, of in _OF_COUNTS.items()}
    means["auroc"] = mean_area(labels, answered.sampling, auroc_influence)
    means["average_precision"] = mean_area(labels, answered.sampling, average_precision_influence)
    return {f"macro_{name}": means[name] for name in OF_EACH_CLASS}


def _mean_over(
    answered: Answered, labels: Sequence[tuple[OneVsRest, Rows]], of: Callable[[Floats], Floats]
) -> Estimate:
    """Return the mean of a figure of counts over the labels that have one."""
    whole = np.concatenate([view.table.ravel() for view, _ in labels]).astype(np.float64)

    def mean(counts: Floats) -> Floats:
        of_labels = of(counts.reshape(-1, len(labels), 4))
        known = ~np.isnan(of_labels)
        return divided(np.where(known, of_labels, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))

    value, influence = float(mean(whole)[0]), np.zeros(answered.n)
    if not np.isfinite(value):
        return Estimate(value=None, n=answered.n, reason="no label was called")
    rises = slopes(mean, whole).reshape(-1, 4)
    for (view, rows), rise in zip(labels, rises, strict=True):
        influence[rows] += rise[view.cells]
    size = even_size([view.sampling.units_among(view.truth) for view, _ in labels])
    return bounded(value, influence, answered.sampling, size=size)
