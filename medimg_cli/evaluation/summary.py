"""All numbers of one predictions table: the chosen class, every class, and their means."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.curves import (
    precision_recall_curve_of,
    roc_curve_of,
    with_precision_band,
    with_roc_band,
)
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import Curve, Missed
from medimg_cli.evaluation.metrics import (
    FN,
    FP,
    METRICS,
    TN,
    TP,
    Floats,
    OneVsRest,
    Statistic,
    bounded,
    diagonal,
    divided,
    even_size,
    mean_of,
    of_table,
    rate,
    slopes,
)
from medimg_cli.evaluation.metrics.counts import (
    balanced_accuracy_of,
    chance_of,
    f1s_of,
    kappa_of,
    mcc_of,
    weighted_chance_of,
    weighted_kappa_of,
)
from medimg_cli.evaluation.metrics.probability import label_log_losses, log_losses, squared_gaps
from medimg_cli.evaluation.metrics.ranking import Rows, macro_auroc, macro_average_precision, mean_area
from medimg_cli.statistics.areas import auroc_influence, average_precision_influence
from medimg_cli.statistics.estimate import Estimate

OF_POSITIVE = (
    "recall", "specificity", "precision", "npv", "f1", "accuracy", "balanced_accuracy", "mcc", "kappa",
    "auroc", "average_precision", "brier", "log_loss", "ece",
)  # fmt: skip
"""The order in which they are shown; what else the shelf holds follows."""
OF_EACH_CLASS = ("recall", "precision", "specificity", "npv", "f1", "auroc", "average_precision")


def of_positive(view: OneVsRest) -> dict[str, Estimate]:
    """Return all metrics of the positive class."""
    return {name: METRICS.get(name)(view) for name in dict.fromkeys((*OF_POSITIVE, *METRICS.names()))}


def overall(scored: ScoredPredictions, *, ordinal: bool = False) -> dict[str, Estimate]:
    """Return the figures of the positive class where there is one, and means over classes where there are
    more than two or none is positive.

    Args:
        ordinal: the classes are grades, in their order: kappa weighs how far a decision is off.
    """
    figures: dict[str, Estimate] = {}
    positive = scored.labels.positive
    if positive is not None:
        figures |= of_positive(scored.view_of(positive))
    if positive is None or len(scored.classes) > 2:
        figures |= _over_classes(scored)
    if ordinal:
        undefined = "only one grade occurs in reference and decision"
        figures["weighted_kappa"] = _of_confusion(
            scored, weighted_kappa_of, undefined, even=False, chance=weighted_chance_of
        )
    return figures


def per_class(scored: ScoredPredictions) -> dict[str, dict[str, Estimate]]:
    """Return class → metric → estimate, each class against the rest."""
    return {
        name: {metric: METRICS.get(metric)(view) for metric in OF_EACH_CLASS}
        for name, view in scored.views.items()
    }


def _precisions(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    return divided(diagonal(tables), tables.sum(axis=1))


def _weighted(of_class: NDArray[np.float64], tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means (B,) of a figure (B, K) over classes, each by how many images of it there are."""
    support = tables.sum(axis=2)
    means: NDArray[np.float64] = (np.nan_to_num(of_class) * support).sum(axis=1) / support.sum(axis=1)
    return means


_EVEN: Mapping[str, Statistic] = {
    "macro_recall": balanced_accuracy_of,
    "macro_precision": lambda tables: _precisions(tables).mean(axis=1),
    "macro_f1": lambda tables: f1s_of(tables).mean(axis=1),
    "balanced_accuracy": balanced_accuracy_of,
}
_BY_SIZE: Mapping[str, Statistic] = {
    "weighted_precision": lambda tables: _weighted(_precisions(tables), tables),
    "weighted_f1": lambda tables: _weighted(f1s_of(tables), tables),
}
_COEFFICIENTS: Mapping[str, Statistic] = {"mcc": mcc_of, "kappa": kappa_of}
_UNDEFINED = "a class does not occur, or was never called"


def _of_confusion(
    scored: ScoredPredictions,
    of: Statistic,
    undefined: str,
    *,
    even: bool = True,
    chance: Statistic | None = None,
) -> Estimate:
    sampling, classes = scored.sampling, len(scored.classes)
    return of_table(scored.cells, classes, of, sampling, undefined=undefined, even=even, chance=chance)


def mean_recall(scored: ScoredPredictions, undefined: str) -> Estimate:
    """Return the mean recall over classes; undefined, with the reason, where one does not occur."""
    return _of_confusion(scored, balanced_accuracy_of, undefined)


def _over_classes(scored: ScoredPredictions) -> dict[str, Estimate]:
    sampling, each = scored.sampling, np.ones(scored.n)
    accuracy = rate(scored.truth == scored.called, sampling, undefined="no image")
    # With one label an image every wrong call is one miss and one false alarm: all three micro means are accuracy.
    names = ("accuracy", "micro_recall", "micro_precision", "micro_f1", "weighted_recall")
    figures = dict.fromkeys(names, accuracy)
    figures |= {name: _of_confusion(scored, of, _UNDEFINED) for name, of in _EVEN.items()}
    figures |= {name: _of_confusion(scored, of, _UNDEFINED, even=False) for name, of in _BY_SIZE.items()}
    figures |= {
        name: _of_confusion(scored, of, _UNDEFINED, even=False, chance=chance_of)
        for name, of in _COEFFICIENTS.items()
    }
    figures["macro_auroc"] = macro_auroc(scored.views.values(), sampling)
    figures["macro_average_precision"] = macro_average_precision(scored.views.values(), sampling)
    for name, of in (("brier", squared_gaps), ("log_loss", log_losses)):
        figures[name] = mean_of(of(scored.probabilities, scored.truth), each, sampling)
    return figures


def missed_of(scored: ScoredPredictions) -> Missed | None:
    """Return the positive images that were not called, the most confident misses first; None where no class is positive."""
    positive = scored.labels.positive
    if positive is None:
        return None
    view, image_ids = scored.view_of(positive), scored.table["image_id"].iloc[scored.rows_of(positive)]
    missed = np.flatnonzero(view.truth & ~view.called)
    worst_first = missed[np.argsort(view.score[missed], kind="stable")]
    ids = tuple(image_ids.iloc[worst_first].astype(str))
    return Missed(count=len(missed), of=int(view.truth.sum()), ids=ids)


def curves_of(views: Iterable[tuple[str, OneVsRest]]) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Return the ROC and the precision–recall curves of named classes with bands, without those that are undefined."""
    rocs, recalls = [], []
    for name, view in views:
        roc = roc_curve_of(name, view.truth, view.score, view.called)
        recall = precision_recall_curve_of(name, view.truth, view.score, view.called)
        if roc is not None:
            rocs.append(with_roc_band(roc, view.levels))
        if recall is not None:
            recalls.append(with_precision_band(recall, view.levels) if roc is not None else recall)
    return tuple(rocs), tuple(recalls)


_OF_COUNTS: Mapping[str, Callable[[Floats], Floats]] = {
    "recall": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FN]),
    "precision": lambda cells: divided(cells[..., TP], cells[..., TP] + cells[..., FP]),
    "specificity": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FP]),
    "npv": lambda cells: divided(cells[..., TN], cells[..., TN] + cells[..., FN]),
    "f1": lambda cells: divided(2 * cells[..., TP], 2 * cells[..., TP] + cells[..., FP] + cells[..., FN]),
}
"""Figure → (B, K, 4) counts to its value (B, K), NaN where undefined."""
NO_CONFUSION = "several labels an image: none of them excludes another"


def overall_of_labels(scored: ScoredPredictions) -> dict[str, Estimate]:
    """Return the figures of the positive label where there is one, and means over labels."""
    figures: dict[str, Estimate] = {}
    positive = scored.labels.positive
    if positive is not None:
        figures |= of_positive(scored.view_of(positive))
    figures |= _means_of_labels(scored)
    losses, judged = label_log_losses(scored.probabilities, scored.marks)
    figures["log_loss"] = mean_of(losses, judged, scored.sampling, undefined="nobody judged a label")
    return figures


def _means_of_labels(scored: ScoredPredictions) -> dict[str, Estimate]:
    """Return the mean of each figure over the labels that the split shows with and without, with its interval.

    A label that was never called has no precision: its mean leaves it out. An image, or patient, that adds to several
    labels counts in all of them.
    """
    both = [name for name, view in scored.views.items() if view.has_both]
    if not both:
        none = Estimate(value=None, n=scored.n, reason="no label with and without it in the split")
        return {f"macro_{name}": none for name in OF_EACH_CLASS}
    labels = [(scored.views[name], scored.judged[name]) for name in both]
    means = {name: _mean_over(scored, labels, of) for name, of in _OF_COUNTS.items()}
    means["auroc"] = mean_area(labels, scored.sampling, auroc_influence)
    means["average_precision"] = mean_area(labels, scored.sampling, average_precision_influence)
    return {f"macro_{name}": means[name] for name in OF_EACH_CLASS}


def _mean_over(
    scored: ScoredPredictions, labels: Sequence[tuple[OneVsRest, Rows]], of: Callable[[Floats], Floats]
) -> Estimate:
    """Return the mean of a figure of counts over the labels that have one."""
    whole = np.concatenate([view.table.ravel() for view, _ in labels]).astype(np.float64)

    def mean(counts: Floats) -> Floats:
        of_labels = of(counts.reshape(-1, len(labels), 4))
        known = ~np.isnan(of_labels)
        return divided(np.where(known, of_labels, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))

    value, influence = float(mean(whole)[0]), np.zeros(scored.n)
    if not np.isfinite(value):
        return Estimate(value=None, n=scored.n, reason="no label was called")
    rises = slopes(mean, whole).reshape(-1, 4)
    for (view, rows), rise in zip(labels, rises, strict=True):
        influence[rows] += rise[view.cells]
    size = even_size([view.sampling.units_among(view.truth) for view, _ in labels])
    return bounded(value, influence, scored.sampling, size=size)
