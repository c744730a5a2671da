"""A predictions table, decided: reference standard, answers, and every class against the rest."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.evaluation import Confusion
from medimg_cli.evaluation.metrics import OneVsRest
from medimg_cli.predictions.decide import Decided, decide
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import marks_of, probabilities_of
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.sampling import Sampling


@dataclass(frozen=True)
class ScoredPredictions:
    """N images that a model answered.

    Args:
        table: columns y_true (of several labels an image y_true_<class>), image_id, patient_id, prob_<class>; others
            are carried along. Its classes stand in the order of `labels`.
        labels: the classes and the positive one.
        point: where probabilities become decisions; without a threshold the most probable class is called, of several
            labels those that reach 0.5.
        sampling: how the images were drawn.
    """

    table: pd.DataFrame
    labels: LabelSpace
    point: OperatingPoint
    sampling: Sampling

    @property
    def n(self) -> int:
        return len(self.table)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.classes

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Return (N, C)."""
        return probabilities_of(self.table)

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Return class indices (N,), of one label an image."""
        return self.labels.encode(self.table["y_true"].tolist())

    @cached_property
    def marks(self) -> NDArray[np.float32]:
        """Return (N, C) of 1, 0, and NaN where nobody judged; one label an image is 1 in its own column."""
        if self.labels.several:
            return marks_of(self.table, self.classes)
        return np.eye(len(self.classes), dtype=np.float32)[self.truth]

    @cached_property
    def decided(self) -> Decided:
        """Return the decisions at the thresholds in force."""
        return decide(self.probabilities, self.labels, self.point.threshold, self.point.thresholds)

    @property
    def called(self) -> NDArray[np.int64]:
        """Return called classes (N,), of one label an image."""
        return self.decided.called

    @property
    def calls(self) -> NDArray[np.bool_]:
        """Return (N, C), True where a class is called."""
        return self.decided.calls

    @cached_property
    def judged(self) -> dict[str, NDArray[np.int64]]:
        """Return class → rows (M,) in which somebody judged it: all of them, of one label an image."""
        known = ~np.isnan(self.marks)
        return {name: np.flatnonzero(known[:, index]) for index, name in enumerate(self.classes)}

    @cached_property
    def views(self) -> dict[str, OneVsRest]:
        """Return each class against the rest, among the images in which it was judged."""
        return {name: self._view(index, self.judged[name]) for index, name in enumerate(self.classes)}

    @property
    def questions(self) -> dict[str, OneVsRest]:
        """Return the classes that are asked about: the positive one where there is one, else (and of labels) all."""
        positive = self.labels.positive
        if positive is None or self.labels.several:
            return self.views
        return {positive: self.view_of(positive)}

    def view_of(self, name: str) -> OneVsRest:
        """Return a class against the rest, or the positive classes together against all others."""
        if name in self.classes:
            return self.views[name]
        return self._of_positives

    @property
    def positive_threshold(self) -> tuple[str, Threshold] | str:
        """Return the positive class, or label, and the threshold that decides on it, or why none does."""
        positive = self.labels.positive
        if positive is None:
            return "no positive class was stated"
        threshold = self.point.threshold or self.point.thresholds.get(positive)
        return f"no threshold decides on {positive}" if threshold is None else (positive, threshold)

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """Return the rows (M,) that `view_of` is of."""
        return self.judged[name] if name in self.classes else np.arange(self.n)

    @cached_property
    def _of_positives(self) -> OneVsRest:
        ill = self.labels.is_positive
        score = self.labels.positive_score(self.probabilities)
        return OneVsRest(ill[self.truth], score, ill[self.called], self.sampling)

    @property
    def kinds(self) -> list[str]:
        """Return what a draw that is even over classes goes by (N,): the class, or what is known of the positive label."""
        if not self.labels.several:
            return [self.classes[index] for index in self.truth]
        index = self.labels.positive_index
        return [""] * self.n if index is None else [str(mark) for mark in self.marks[:, index]]

    def of(self, rows: NDArray[np.bool_]) -> "ScoredPredictions":
        """Return the same of some of the images (N,), decided alike."""
        return ScoredPredictions(
            self.table[rows].reset_index(drop=True), self.labels, self.point, self.sampling.of(rows)
        )

    @cached_property
    def confusion_table(self) -> NDArray[np.int64]:
        """Return counts (C, C): rows the reference standard, columns the decision."""
        count = len(self.classes)
        return np.bincount(self.cells, minlength=count * count).reshape(count, count)

    def confusion(self) -> Confusion:
        """Return `confusion_table` with its labels."""
        return Confusion(labels=self.classes, matrix=tuple(map(tuple, self.confusion_table.tolist())))

    @property
    def cells(self) -> NDArray[np.int64]:
        """Return the place (N,) of each image in the flat confusion table."""
        return self.truth * len(self.classes) + self.called

    def _view(self, index: int, rows: NDArray[np.int64]) -> OneVsRest:
        sampling = self.sampling if len(rows) == self.n else self.sampling.of(rows)
        truth, score = self.marks[rows, index] == 1, self.probabilities[rows, index]
        name = "the disease" if self.classes[index] == self.labels.positive else self.classes[index]
        return OneVsRest(truth, score, self.calls[rows, index], sampling, name)
