"""Precision (positive predictive value): of those called, the share that has the disease."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import (
    FN,
    FP,
    METRICS,
    TN,
    TP,
    OneVsRest,
    diagonal,
    divided,
    of_view,
    share,
)
from medimg_cli.statistics.estimate import Estimate


@METRICS.register("precision")
def precision(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FP), at this split's prevalence."""
    return share(view, [TP], [FP, TP], undefined="no image was called this class")


@METRICS.register("recall")
def recall(view: OneVsRest) -> Estimate:
    """Return TP / (TP + FN)."""
    return share(view, [TP], [FN, TP], undefined="no image of this class")


@METRICS.register("specificity")
def specificity(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FP)."""
    return share(view, [TN], [TN, FP], undefined="every image is of this class")


@METRICS.register("npv")
def npv(view: OneVsRest) -> Estimate:
    """Return TN / (TN + FN), at this split's prevalence."""
    return share(view, [TN], [TN, FN], undefined="every image was called this class")


@METRICS.register("accuracy")
def accuracy(view: OneVsRest) -> Estimate:
    """Return (TP + TN) / N, at this split's prevalence."""
    return share(view, [TN, TP], [TN, FP, FN, TP], undefined="no image")


def balanced_accuracy_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean recall over the classes of (B, K, K) tables, NaN where a class does not occur."""
    means: NDArray[np.float64] = divided(diagonal(tables), tables.sum(axis=2)).mean(axis=1)
    return means


@METRICS.register("balanced_accuracy")
def balanced_accuracy(view: OneVsRest) -> Estimate:
    """Return (recall + specificity) / 2; it does not depend on prevalence."""
    return of_view(view, balanced_accuracy_of, undefined="only one class occurs")


def f1s_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 (B, K) of each class of (B, K, K) tables, NaN where a class is neither true nor called."""
    return divided(2 * diagonal(tables), tables.sum(axis=1) + tables.sum(axis=2))


@METRICS.register("f1")
def f1(view: OneVsRest) -> Estimate:
    """Return 2 TP / (2 TP + FP + FN)."""
    undefined = "this class occurs neither in reference nor in decision"
    return of_view(view, lambda tables: f1s_of(tables)[:, 1], undefined=undefined)


def mcc_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficient of (B, K, K) tables, -1..1, NaN where a margin is empty.

    Gorodkin J. Comput Biol Chem 2004;28:367-374; for two classes it is Matthews' own.
    """
    n = tables.sum(axis=(1, 2))
    called, true = tables.sum(axis=1), tables.sum(axis=2)
    covariance = np.trace(tables, axis1=1, axis2=2) * n - (called * true).sum(axis=1)
    return divided(covariance, np.sqrt((n**2 - (called**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))))


@METRICS.register("mcc")
def mcc(view: OneVsRest) -> Estimate:
    """Return the coefficient of this class against the rest. Matthews BW. Biochim Biophys Acta 1975;405:442-451."""
    return of_view(view, mcc_of, undefined="a row or column of the table is empty")
