"""Predictions by exam: one row of several images, and how a model decides on it, chosen on validation."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LABEL_SEP, LabelSpace
from medimg_cli.dataset.manifest import EXAM
from medimg_cli.predictions.exam_answers import POOLINGS, pooled
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import (
    PROBABILITY_PREFIX,
    marks_of,
    probabilities_of,
    truth_columns,
)
from medimg_cli.runs.run import Exams, Pooling
from medimg_cli.statistics.areas import auroc_influence
from medimg_cli.statistics.sampling import Sampling, sampling_of

Targets = NDArray[np.int64] | NDArray[np.float32]
ChoosePoint = Callable[[Targets, NDArray[np.float64], Sampling], OperatingPoint]


def exam_table(table: pd.DataFrame, labels: LabelSpace, rule: Pooling) -> pd.DataFrame:
    """Return a predictions table with a row per exam, in the order of their first images; `image_id` is the exam's.

    The truth of an exam: a positive class where any of its images has one (of several the commonest), else the commonest
    class; of several labels each that some image carries, absent where all images lack it, else unknown.

    Args:
        table: of images, with `exam_id`, truth and prob_<class>; `images` of an exam says how many.
    """
    exam_of, names = pd.factorize(table[EXAM])
    codes = exam_of.astype(np.int64)
    first = np.unique(codes, return_index=True)[1]
    kept = [name for name in ("patient_id", "split") if name in table]
    found = pd.DataFrame(
        {"image_id": names, "images": np.bincount(codes)} | {n: table[n].to_numpy()[first] for n in kept}
    )
    chances = pooled(probabilities_of(table), codes, rule, labels.is_positive, several=labels.several)
    for index, name in enumerate(labels.classes):
        found[PROBABILITY_PREFIX + name] = chances[:, index]
    marks = marks_of(table, labels.classes) if labels.several else np.zeros((0, 0), np.float32)
    if not labels.several:
        return found.assign(y_true=_truth(labels.encode(table["y_true"].tolist()), codes, labels))
    highest = np.full((len(names), marks.shape[1]), -1.0, np.float32)
    np.maximum.at(highest, codes, np.where(np.isnan(marks), -1.0, marks))
    unknown = np.zeros(highest.shape)
    np.add.at(unknown, codes, np.isnan(marks))
    whole = np.where((highest == 1) | ((highest == 0) & (unknown == 0)), highest, np.nan).astype(np.float32)
    joined = [
        LABEL_SEP.join(n for n, mark in zip(labels.classes, row, strict=True) if mark == 1) for row in whole
    ]
    return found.assign(y_true=joined, **truth_columns(whole, labels.classes))


def _truth(classes: NDArray[np.int64], exam_of: NDArray[np.int64], labels: LabelSpace) -> list[str]:
    counts = np.zeros((int(exam_of.max()) + 1 if len(exam_of) else 0, len(labels.classes)))
    np.add.at(counts, (exam_of, classes), 1)
    ill = (counts[:, labels.is_positive].sum(axis=1) > 0)[:, None]
    counts = np.where(ill & ~labels.is_positive[None, :], -1, counts)
    return [labels.classes[index] for index in counts.argmax(axis=1)]


def targets_of(table: pd.DataFrame, labels: LabelSpace) -> Targets:
    """Return the truth of a predictions table as class indices (N,), or of several labels as marks (N, C)."""
    return marks_of(table, labels.classes) if labels.several else labels.encode(table["y_true"].tolist())


def exams_chosen(
    table: pd.DataFrame, labels: LabelSpace, source: str, split: str, choose: ChoosePoint, *, known: bool
) -> Exams | None:
    """Return how exams are decided on: pooling and threshold by the answers to a split's images; None without exams.

    The simplest pooling is taken whose AUROC is within one standard error of the best one's, by the paired difference
    (Breiman L et al. Classification and Regression Trees, 1984, ch. 3.4.3); the mean where AUROC is not defined.

    Args:
        table: of images; without `exam_id` there are no exams.
        source: what an exam is.
        choose: the threshold by targets, probabilities and sampling of exams.
        known: patients are known.
    """
    if EXAM not in table or not source:
        return None
    tables = {rule: exam_table(table, labels, rule) for rule in POOLINGS}
    sampling = sampling_of(tables["mean"], known=known)
    areas = {rule: _area(found, labels) for rule, found in tables.items()}
    chosen, why = _simplest(areas, sampling)
    exams = tables[chosen]
    point = choose(targets_of(exams, labels), probabilities_of(exams), sampling)
    return Exams(
        source=source,
        pooling=chosen,
        why=f"{why}, {len(exams):,} exams of {split}",
        auroc={rule: area[0] for rule, area in areas.items() if area is not None},
        threshold=point.threshold,
        thresholds=dict(point.thresholds),
    )


def exams_at(
    by: Exams,
    table: pd.DataFrame,
    labels: LabelSpace,
    choose: ChoosePoint,
    *,
    known: bool,
    exact: bool = False,
) -> Exams:
    """Return the same pooling at a threshold that is chosen on other answers; arguments as of `exams_chosen`.

    A label of several for which there is none keeps the one it had.
    """
    exams = exam_table(table, labels, by.pooling)
    sampling = sampling_of(exams, known=known, exact=exact)
    point = choose(targets_of(exams, labels), probabilities_of(exams), sampling)
    return by.model_copy(
        update={"threshold": point.threshold, "thresholds": {**by.thresholds, **point.thresholds}}
    )


Area = tuple[float, NDArray[np.float64]]


def _area(table: pd.DataFrame, labels: LabelSpace) -> Area | None:
    """Return the AUROC and what each exam (E,) adds to its error: of the positive classes, else the mean over classes."""
    scores, targets = probabilities_of(table), targets_of(table, labels)
    if labels.positives and not labels.several:
        sides = [
            (
                labels.is_positive[targets.astype(np.int64)],
                labels.positive_score(scores),
                np.ones(len(table), bool),
            )
        ]
    else:
        marks = targets if labels.several else (targets[:, None] == np.arange(len(labels.classes)))
        sides = [
            (marks[:, k] == 1, scores[:, k], ~np.isnan(marks[:, k].astype(float)))
            for k in range(scores.shape[1])
        ]
    found = []
    for truth, score, judged in sides:
        if truth[judged].any() and not truth[judged].all():
            area, influence = auroc_influence(truth[judged], score[judged])
            whole = np.zeros(len(table))
            whole[judged] = influence
            found.append((area, whole))
    if not found:
        return None
    return float(np.mean([area for area, _ in found])), np.mean([influence for _, influence in found], axis=0)


def _simplest(areas: dict[Pooling, Area | None], sampling: Sampling) -> tuple[Pooling, str]:
    known = {rule: area for rule, area in areas.items() if area is not None}
    if not known:
        return "mean", "AUROC is not defined, so the mean"
    best = max(known, key=lambda rule: known[rule][0])
    for rule, (area, influence) in known.items():
        error = np.sqrt(sampling.variance(known[best][1] - influence))
        if known[best][0] - area <= error:
            reason = f"AUROC {area:.3f}"
            if rule != best:
                reason += f", within one standard error ({error:.3f}) of {best} ({known[best][0]:.3f})"
            return rule, reason
    return best, f"AUROC {known[best][0]:.3f}"
