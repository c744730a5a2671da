"""All numbers of one predictions table: the chosen class, every class, and their means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.curves import precision_recall_curve_of, roc_curve_of
from medimg_cli.core.evaluation import Confusion, Curve, Estimate, Missed
from medimg_cli.metrics import METRICS, OneVsRest, diagonal, divided, of_table, proportion
from medimg_cli.metrics.balanced_accuracy import balanced_accuracy_of
from medimg_cli.metrics.f1 import f1s_of
from medimg_cli.metrics.kappa import kappa_of
from medimg_cli.metrics.mcc import mcc_of

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
OF_EACH_CLASS = ("recall", "precision", "specificity", "f1", "auroc", "average_precision")


@dataclass(frozen=True)
class Decisions:
    """Reference standard, probabilities, and the decision in force.

    Args:
        truth: (N,) class indices.
        probabilities: (N, C), rows sum to 1.
        called: (N,) class indices.
        classes: C names.
        positive: index of the positive class, or None.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    called: NDArray[np.int64]
    classes: tuple[str, ...]
    positive: int | None

    def against_rest(self, index: int) -> OneVsRest:
        """Return one class seen against all others."""
        return OneVsRest(self.truth == index, self.probabilities[:, index], self.called == index)

    def confusion_table(self) -> NDArray[np.int64]:
        """Return counts (C, C): rows the reference standard, columns the decision."""
        count = len(self.classes)
        return np.bincount(self.truth * count + self.called, minlength=count * count).reshape(count, count)

    def confusion(self) -> Confusion:
        """Return `confusion_table` with its labels."""
        return Confusion(labels=self.classes, matrix=tuple(map(tuple, self.confusion_table().tolist())))


def decide_classes(
    probabilities: NDArray[np.float64], *, positive: int | None, threshold: float | None
) -> NDArray[np.int64]:
    """Return called classes (N,): at the threshold for two classes with a positive, else the most probable."""
    if threshold is None or positive is None or probabilities.shape[1] != 2:
        most_probable: NDArray[np.int64] = probabilities.argmax(axis=1)
        return most_probable
    return np.where(probabilities[:, positive] >= threshold, positive, 1 - positive).astype(np.int64)


def overall(decisions: Decisions) -> dict[str, Estimate]:
    """Return the figures of the positive class where there is one, and means over classes where there are
    more than two or none is positive."""
    figures: dict[str, Estimate] = {}
    if decisions.positive is not None:
        view = decisions.against_rest(decisions.positive)
        figures |= {name: METRICS.get(name)(view) for name in OF_POSITIVE}
    if decisions.positive is None or len(decisions.classes) > 2:
        figures |= _over_classes(decisions)
    return figures


def per_class(decisions: Decisions) -> dict[str, dict[str, Estimate]]:
    """Return class → metric → estimate, each class against the rest."""
    return {
        name: {metric: METRICS.get(metric)(decisions.against_rest(index)) for metric in OF_EACH_CLASS}
        for index, name in enumerate(decisions.classes)
    }


def _over_classes(decisions: Decisions) -> dict[str, Estimate]:
    table = decisions.confusion_table()
    n = int(table.sum())
    accuracy = proportion(int(np.trace(table)), n, undefined="no image")
    support = table.sum(axis=1) / n
    undefined = "a class does not occur, or was never called"
    figures = {"accuracy": accuracy, "micro_recall": accuracy}
    statistics: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "macro_recall": balanced_accuracy_of,
        "macro_precision": lambda tables: divided(diagonal(tables), tables.sum(axis=1)).mean(axis=1),
        "macro_f1": lambda tables: f1s_of(tables).mean(axis=1),
        "weighted_f1": lambda tables: np.nan_to_num(f1s_of(tables)) @ support,
        "balanced_accuracy": balanced_accuracy_of,
        "mcc": mcc_of,
        "kappa": kappa_of,
    }
    figures |= {name: of_table(table, of, undefined=undefined) for name, of in statistics.items()}
    figures |= {
        f"macro_{name}": _mean_over_classes(decisions, name) for name in ("auroc", "average_precision")
    }
    likelihood = decisions.probabilities[np.arange(n), decisions.truth]
    figures["log_loss"] = Estimate(value=float(-np.log(np.maximum(likelihood, 1e-7)).mean()), n=n)
    return figures


def _mean_over_classes(decisions: Decisions, metric: str) -> Estimate:
    values = [
        METRICS.get(metric)(decisions.against_rest(index)).value for index in range(len(decisions.classes))
    ]
    known = [value for value in values if value is not None]
    n = len(decisions.truth)
    if len(known) < len(values):
        return Estimate(value=None, n=n, reason="a class does not occur")
    return Estimate(value=float(np.mean(known)), n=n)


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
    """Return the ROC and the precision–recall curves of named classes, without those that are undefined."""
    named = list(views)
    roc = (roc_curve_of(name, view.truth, view.score, view.called) for name, view in named)
    recall = (precision_recall_curve_of(name, view.truth, view.score, view.called) for name, view in named)
    return tuple(curve for curve in roc if curve), tuple(curve for curve in recall if curve)
