"""All numbers of one predictions table: the chosen class, every class, and their means."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.evaluation.curve_bands import with_precision_band, with_roc_band
from medimg_cli.evaluation.curves import precision_recall_curve_of, roc_curve_of
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.evaluation import Curve, Missed
from medimg_cli.evaluation.metrics import (
    METRICS,
    OneVsRest,
    Statistic,
    diagonal,
    divided,
    mean_of,
    of_table,
    rate,
)
from medimg_cli.evaluation.metrics.counts import balanced_accuracy_of, f1s_of, mcc_of
from medimg_cli.evaluation.metrics.kappa import kappa_of, weighted_kappa_of
from medimg_cli.evaluation.metrics.proper_scores import log_losses, squared_gaps
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import auroc_influence, logit_interval
from medimg_cli.statistics.precision_recall import average_precision_influence
from medimg_cli.statistics.sampling import Sampling

OF_POSITIVE = (
    "recall",
    "specificity",
    "precision",
    "npv",
    "f1",
    "accuracy",
    "balanced_accuracy",
    "mcc",
    "kappa",
    "auroc",
    "average_precision",
    "brier",
    "log_loss",
    "ece",
)
OF_EACH_CLASS = ("recall", "precision", "specificity", "npv", "f1", "auroc", "average_precision")


def overall(answered: Answered, *, ordinal: bool = False) -> dict[str, Estimate]:
    """Return the figures of the positive class where there is one, and means over classes where there are
    more than two or none is positive.

    Args:
        ordinal: the classes are grades, in their order: kappa weighs how far a decision is off.
    """
    figures: dict[str, Estimate] = {}
    positive = answered.labels.positive
    if positive is not None:
        figures |= {name: METRICS.get(name)(answered.view_of(positive)) for name in OF_POSITIVE}
    if positive is None or len(answered.classes) > 2:
        figures |= _over_classes(answered)
    if ordinal:
        figures["weighted_kappa"] = of_table(
            answered.confusion_table,
            answered.confusion_tables,
            weighted_kappa_of,
            unit=answered.sampling.unit,
            undefined="only one grade occurs in reference and decision",
        )
    return figures


def per_class(answered: Answered) -> dict[str, dict[str, Estimate]]:
    """Return class → metric → estimate, each class against the rest."""
    return {
        name: {metric: METRICS.get(metric)(view) for metric in OF_EACH_CLASS}
        for name, view in answered.views.items()
    }


def _precisions(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    return divided(diagonal(tables), tables.sum(axis=1))


def _weighted(of_class: NDArray[np.float64], tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means (B,) of a figure (B, K) over classes, each by how many images of it there are."""
    support = tables.sum(axis=2)
    means: NDArray[np.float64] = (np.nan_to_num(of_class) * support).sum(axis=1) / support.sum(axis=1)
    return means


_MEANS: Mapping[str, Statistic] = {
    "macro_recall": balanced_accuracy_of,
    "macro_precision": lambda tables: _precisions(tables).mean(axis=1),
    "macro_f1": lambda tables: f1s_of(tables).mean(axis=1),
    "weighted_precision": lambda tables: _weighted(_precisions(tables), tables),
    "weighted_f1": lambda tables: _weighted(f1s_of(tables), tables),
    "balanced_accuracy": balanced_accuracy_of,
    "mcc": mcc_of,
    "kappa": kappa_of,
}


def _over_classes(answered: Answered) -> dict[str, Estimate]:
    table, tables = answered.confusion_table, answered.confusion_tables
    unit, each = answered.sampling.unit, np.ones(answered.n)
    accuracy = rate(answered.truth == answered.called, answered.sampling, undefined="no image")
    undefined = "a class does not occur, or was never called"
    # With one label an image every wrong call is one miss and one false alarm: all three micro means are accuracy.
    figures = {
        "accuracy": accuracy,
        "micro_recall": accuracy,
        "micro_precision": accuracy,
        "micro_f1": accuracy,
    }
    figures["weighted_recall"] = accuracy
    figures |= {
        name: of_table(table, tables, of, unit=unit, undefined=undefined) for name, of in _MEANS.items()
    }
    figures["macro_auroc"] = macro_auroc(answered.views.values(), answered.sampling)
    figures["macro_average_precision"] = macro_average_precision(answered.views.values(), answered.sampling)
    for name, of in (("brier", squared_gaps), ("log_loss", log_losses)):
        figures[name] = mean_of(of(answered.probabilities, answered.truth), each, answered.sampling)
    return figures


def macro_auroc(views: Iterable[OneVsRest], sampling: Sampling) -> Estimate:
    """Return the mean of the classes' areas, all of the same N images, with an interval that knows they are.

    What each image adds to the error of the mean is summed by image or patient (the linear part of DeLong's
    variance), and the interval stands on the logit scale.
    """
    every = list(views)
    if not every or any(view.truth.all() or not view.truth.any() for view in every):
        return Estimate(value=None, n=sampling.n, reason="a class does not occur")
    areas = [METRICS.get("auroc")(view).value or 0.0 for view in every]
    influence = np.mean([auroc_influence(view.truth, view.score) for view in every], axis=0)
    return mean_area(float(np.mean(areas)), influence, sampling, method="DeLong")


def macro_average_precision(views: Iterable[OneVsRest], sampling: Sampling) -> Estimate:
    """Return the mean of the classes' average precisions, all of the same N images, as `macro_auroc` does.

    The logit scale is that of Boyd K, Eng KH, Page CD. ECML PKDD 2013, LNCS 8190:451-466.
    """
    every = list(views)
    if not every or any(not view.truth.any() for view in every):
        return Estimate(value=None, n=sampling.n, reason="a class does not occur")
    found = [average_precision_influence(view.truth, view.score) for view in every]
    influence = np.mean([each for _, each in found], axis=0)
    return mean_area(float(np.mean([area for area, _ in found])), influence, sampling, method="influence")


def mean_area(value: float, influence: NDArray[np.float64], sampling: Sampling, *, method: str) -> Estimate:
    """Return a mean of areas with its interval on the logit scale.

    Args:
        influence: (N,), what each image adds to its error.
        method: what that is called.
    """
    between = logit_interval(value, sampling.variance(influence))
    if between is None:
        return Estimate(value=value, n=sampling.n)
    named = f"{method} by {sampling.unit}, logit scale"
    return Estimate(value=value, low=between[0], high=between[1], method=named, n=sampling.n)


def missed_of(view: OneVsRest, image_ids: pd.Series) -> Missed:
    """Return the images of a class that were not called, the most confident misses first.

    Args:
        image_ids: (N,) of the images that `view` is of.
    """
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
