"""Figures of a small evaluation, from its table of decisions."""

import numpy as np
import pandas as pd

from medimg_cli.dataset.manifest import DatasetInfo
from medimg_cli.evaluation.evaluation import Confusion, Curve, Missed
from medimg_cli.statistics.estimate import Estimate


def share(count: int, n: int) -> Estimate:
    """Return a proportion with an interval that is wide enough to look real."""
    if n == 0:
        return Estimate(value=None, n=0, count=0, reason="no image of this class")
    value = count / n
    low, high = max(0.0, value - 0.07), min(1.0, value + 0.05)
    return Estimate(value=value, low=low, high=high, method="Wilson", n=n, count=count)


def area(value: float, n: int) -> Estimate:
    return Estimate(value=value, low=value - 0.03, high=value + 0.01, method="DeLong, logit scale", n=n)


def counts(confusion: Confusion, index: int) -> tuple[int, int, int, int]:
    """Return true positives, missed, false alarms, true negatives of one class against the rest."""
    table = np.array(confusion.matrix)
    hit = int(table[index, index])
    missed, alarms = int(table[index].sum()) - hit, int(table[:, index].sum()) - hit
    return hit, missed, alarms, int(table.sum()) - hit - missed - alarms


def overall(confusion: Confusion, positive: str | None, n: int) -> dict[str, Estimate]:
    right = sum(row[index] for index, row in enumerate(confusion.matrix))
    figures = {"accuracy": share(right, n)}
    if positive is None:
        figures["macro_recall"] = Estimate(value=0.9312, low=0.9, high=0.96, method="bootstrap", n=n)
        figures["macro_auroc"] = Estimate(value=0.981, n=n)
        return figures
    hit, missed, alarms, rest = counts(confusion, confusion.labels.index(positive))
    return figures | {
        "recall": share(hit, hit + missed),
        "specificity": share(rest, rest + alarms),
        "precision": share(hit, hit + alarms),
        "npv": share(rest, rest + missed),
        "f1": Estimate(value=0.9367, low=0.91, high=0.96, method="bootstrap", n=n),
        "auroc": area(0.9731, n),
        "brier": Estimate(value=0.0421, low=0.03, high=0.06, method="bootstrap", n=n),
        "mcc": Estimate(value=None, n=n, reason="only one class was predicted"),
    }


def per_class(confusion: Confusion, n: int) -> dict[str, dict[str, Estimate]]:
    figures = {}
    for index, name in enumerate(confusion.labels):
        hit, missed, alarms, rest = counts(confusion, index)
        figures[name] = {
            "recall": share(hit, hit + missed),
            "precision": share(hit, hit + alarms),
            "specificity": share(rest, rest + alarms),
            "f1": Estimate(value=0.9123, low=0.88, high=0.94, method="bootstrap", n=n),
            "auroc": area(0.9731 - 0.01 * index, n),
            "average_precision": area(0.9622, n),
        }
    return figures


def missed_of(table: pd.DataFrame, positive: str | None) -> Missed | None:
    if positive is None:
        return None
    sick = table[table["y_true"] == positive]
    wrong = sick[sick["y_pred"] != positive]
    return Missed(count=len(wrong), of=len(sick), ids=tuple(wrong["image_id"]))


def curves(
    info: DatasetInfo, x: tuple[float, ...], y: tuple[float, ...], point: tuple[float, float]
) -> tuple[Curve, ...]:
    names = (info.positive,) if info.positive and len(info.classes) == 2 else info.classes
    return tuple(Curve(name=name, x=x, y=y, operating_point=point) for name in names)
