"""Figures of the table of decisions: shares of its cells, and coefficients of all four."""

import numpy as np

from medimg_cli.evaluation.metrics import (
    FN,
    FP,
    METRICS,
    TN,
    TP,
    Floats,
    OneVsRest,
    diagonal,
    divided,
    of_table,
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


def balanced_accuracy_of(tables: Floats) -> Floats:
    """Return the mean recall over the classes of (B, K, K) tables, NaN where a class does not occur."""
    means: Floats = divided(diagonal(tables), tables.sum(axis=2)).mean(axis=1)
    return means


@METRICS.register("balanced_accuracy")
def balanced_accuracy(view: OneVsRest) -> Estimate:
    """Return (recall + specificity) / 2; it does not depend on prevalence."""
    return of_table(view.cells, 2, balanced_accuracy_of, view.sampling, undefined="only one class occurs")


def f1s_of(tables: Floats) -> Floats:
    """Return F1 (B, K) of each class of (B, K, K) tables, NaN where a class is neither true nor called."""
    return divided(2 * diagonal(tables), tables.sum(axis=1) + tables.sum(axis=2))


@METRICS.register("f1")
def f1(view: OneVsRest) -> Estimate:
    """Return 2 TP / (2 TP + FP + FN).

    It rises with the share J of TP among TP, FP and FN, as 2 J / (1 + J), and so do the ends of its interval.
    """
    undefined = "this class occurs neither in reference nor in decision"
    found = share(view, [TP], [FP, FN, TP], undefined=undefined)
    ends = {name: getattr(found, name) for name in ("value", "low", "high")}
    moved = {name: None if end is None else 2 * end / (1 + end) for name, end in ends.items()}
    return found.model_copy(update={**moved, "n": view.n, "count": None, "design_effect": None})


def mcc_of(tables: Floats) -> Floats:
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
    undefined = "a row or column of the table is empty"
    return of_table(view.cells, 2, mcc_of, view.sampling, undefined=undefined, even=False, chance=chance_of)


def chance_of(tables: Floats) -> Floats:
    """Return the share (B,) of right decisions that chance makes with the margins of (B, K, K) tables."""
    expected: Floats = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / tables.sum(axis=(1, 2)) ** 2
    return expected


def kappa_of(tables: Floats) -> Floats:
    """Return (observed - expected agreement) / (1 - expected agreement) of (B, K, K) tables, NaN where 0/0."""
    observed, expected = np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2)), chance_of(tables)
    return divided(observed - expected, 1 - expected)


def weighted_kappa_of(tables: Floats) -> Floats:
    """Return quadratically weighted kappa of (B, K, K) tables of grades in their order, NaN where 0/0.

    A decision two grades away weighs four times as much as one next door. Cohen J. Psychol Bull 1968;70:213-220.
    """
    observed = (tables * _apart(tables)).sum(axis=(1, 2)) / tables.sum(axis=(1, 2))
    return 1 - divided(observed, 1 - weighted_chance_of(tables))


def weighted_chance_of(tables: Floats) -> Floats:
    """Return as `chance_of` does the share of agreement, a decision from one end to the other counting as none."""
    n = tables.sum(axis=(1, 2))
    chance: Floats = 1 - ((tables.sum(axis=2) @ _apart(tables)) * tables.sum(axis=1)).sum(axis=1) / n**2
    return chance


def _apart(tables: Floats) -> Floats:
    """Return the squared distance (K, K) of grades, 1 from end to end."""
    grades = np.arange(tables.shape[1])
    distance: Floats = ((grades[:, None] - grades) / max(1, grades[-1])) ** 2
    return distance


@METRICS.register("kappa")
def kappa(view: OneVsRest) -> Estimate:
    """Return kappa of this class against the rest, at most 1. Cohen J. Educ Psychol Meas 1960;20:37-46."""
    undefined = "only one class occurs in reference and decision"
    return of_table(view.cells, 2, kappa_of, view.sampling, undefined=undefined, even=False, chance=chance_of)
