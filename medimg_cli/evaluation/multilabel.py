"""Several labels an image: each is a question of its own.

Figures are of the images of which somebody judged the label, and means over labels are of those that the split shows
with and without.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import FN, FP, METRICS, TN, TP, OneVsRest, divided, mean_of, with_bootstrap
from medimg_cli.evaluation.metrics.proper_scores import label_log_losses
from medimg_cli.evaluation.summary import OF_EACH_CLASS, OF_POSITIVE, mean_area
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import auroc_influence
from medimg_cli.statistics.precision_recall import average_precision_influence

AreaOf = Callable[[OneVsRest], tuple[float, NDArray[np.float64]]]
_OF_COUNTS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "recall": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FN]),
    "precision": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FP]),
    "specificity": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FP]),
    "npv": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FN]),
    "f1": lambda cells: divided(2 * cells[..., TP], 2 * cells[..., TP] + cells[..., FP] + cells[..., FN]),
}
"""Figure → (B, K, 4) counts to its value (B, K), NaN where undefined."""
NO_CONFUSION = "several labels an image: none of them excludes another"
_NAMED = 6


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

    A label that was never called has no precision: its mean leaves it out. Patients, or images, are drawn once for all
    labels, so that a patient with several of them counts in all.
    """
    both = [name for name, view in answered.views.items() if _has_both(view)]
    if not both:
        none = Estimate(value=None, n=answered.n, reason="no label with and without it in the split")
        return {f"macro_{name}": none for name in OF_EACH_CLASS}
    counts = _counts(answered, both)
    sums = answered.sampling.sums(counts.reshape(answered.n, -1)).reshape(-1, *counts.shape[1:])
    whole = counts.sum(axis=0)[None]
    means = {name: _mean_with_bootstrap(of(whole), of(sums), answered) for name, of in _OF_COUNTS.items()}
    means |= {
        "auroc": _mean_area_of(answered, both, _auroc),
        "average_precision": _mean_area_of(answered, both, _precision),
    }
    return {f"macro_{name}": means[name] for name in OF_EACH_CLASS}


def _counts(answered: Answered, names: Sequence[str]) -> NDArray[np.float64]:
    """Return (N, K, 4): 1 at the cell of the table that an image falls into, nothing where nobody judged the label."""
    counts = np.zeros((answered.n, len(names), 4))
    for place, name in enumerate(names):
        view, rows = answered.views[name], answered.judged[name]
        counts[rows, place, view.truth * 2 + view.called] = 1
    return counts


def _mean_with_bootstrap(
    of_labels: NDArray[np.float64], drawn: NDArray[np.float64], answered: Answered
) -> Estimate:
    """Return the mean over labels of a figure (1, K), NaN where it has none, from its replicates (B, K)."""
    if np.isnan(of_labels).all():
        return Estimate(value=None, n=answered.n, reason="no label was called")
    known = ~np.isnan(drawn)
    replicates = divided(np.where(known, drawn, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))
    unit = answered.sampling.unit
    return with_bootstrap(float(np.nanmean(of_labels)), replicates, unit=unit, n=answered.n)


def _mean_area_of(answered: Answered, names: Sequence[str], area_of: AreaOf) -> Estimate:
    """Return the mean over labels of an area, from what each image adds to its error; one not judged adds nothing."""
    areas, influence = [], np.zeros(answered.n)
    for name in names:
        view = answered.views[name]
        area, each = area_of(view)
        areas.append(area)
        influence[answered.judged[name]] += each / len(names)
    method = "DeLong" if area_of is _auroc else "influence"
    return mean_area(float(np.mean(areas)), influence, answered.sampling, method=method)


def _auroc(view: OneVsRest) -> tuple[float, NDArray[np.float64]]:
    return METRICS.get("auroc")(view).value or 0.0, auroc_influence(view.truth, view.score)


def _precision(view: OneVsRest) -> tuple[float, NDArray[np.float64]]:
    return average_precision_influence(view.truth, view.score)


def remarks_on_labels(shown: Mapping[str, OneVsRest], thresholds: Mapping[str, Threshold]) -> list[str]:
    """Return what a reader must know of labels that are in no mean, or have no threshold of their own."""
    left_out = [name for name, view in shown.items() if not _has_both(view)]
    undecided = [name for name in shown if name not in thresholds]
    found = []
    if left_out:
        found.append(f"not shown both with and without in this split, so in no mean: {_named(left_out)}")
    if undecided:
        found.append(f"called at 0.5, as validation showed no image of them: {_named(undecided)}")
    return found


def _has_both(view: OneVsRest) -> bool:
    return bool(view.truth.any()) and not bool(view.truth.all())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
