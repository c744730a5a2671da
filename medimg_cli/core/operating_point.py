"""The operating threshold: chosen on validation for a wanted recall, never on test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.labels import LabelSpace
from medimg_cli.core.run import Threshold
from medimg_cli.errors import DataError, UsageError


@dataclass(frozen=True)
class OperatingPoint:
    """Where probabilities become decisions.

    Args:
        threshold: of the positive one of two classes; None where the most probable class is the answer.
        thresholds: of several labels an image, class → its own; none of a class that validation shows no image of.
    """

    threshold: Threshold | None = None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)

    @property
    def every(self) -> tuple[Threshold, ...]:
        return (self.threshold,) if self.threshold else tuple(self.thresholds.values())

    def figures(self) -> dict[str, float | None]:
        """Return recall and specificity where they were chosen, the mean over classes of several labels."""
        if not self.every:
            return {}
        known = [each.achieved_specificity for each in self.every if each.achieved_specificity is not None]
        return {
            "recall_at_threshold": float(np.mean([each.achieved_recall for each in self.every])),
            "specificity_at_threshold": float(np.mean(known)) if known else None,
        }


def operating_point(
    labels: LabelSpace,
    targets: NDArray[np.int64] | NDArray[np.float32],
    probabilities: NDArray[np.float64],
    *,
    target_recall: float,
    split: str,
) -> OperatingPoint:
    """Return the thresholds that a split calls for, if its kind of labels has any.

    Args:
        targets: (N,) class indices, or (N, C) of 1, 0 and NaN for unknown.
        probabilities: (N, C).

    Raises:
        UsageError, DataError: as `choose_threshold` has it; of several labels a class without any is left out.
    """
    choose = partial(choose_threshold, target_recall=target_recall, split=split)
    if labels.several:
        thresholds = {}
        for index, name in enumerate(labels.classes):
            known = ~np.isnan(targets[:, index])
            truth = targets[known, index] == 1
            if truth.any():
                thresholds[name] = choose(truth, probabilities[known, index])
        return OperatingPoint(thresholds=thresholds)
    positive = labels.positive_index
    if positive is None or len(labels.classes) != 2:
        return OperatingPoint()
    return OperatingPoint(choose(targets == positive, probabilities[:, positive]))


def choose_threshold(
    truth: NDArray[np.bool_], score: NDArray[np.float64], *, target_recall: float, split: str
) -> Threshold:
    """Return the highest threshold whose recall on a split reaches the target.

    Args:
        truth: (N,), True where the reference standard says positive.
        score: (N,), probability of the positive class; called positive when at least the threshold.
        target_recall: above 0, at most 1.
        split: where truth and score come from.

    Raises:
        UsageError: the split is test.
        DataError: the split has no positive image.
    """
    if split == "test":
        raise UsageError("a threshold cannot be chosen on the test split", "choose it on validation")
    positives = np.sort(score[truth])[::-1]
    if not len(positives):
        raise DataError(
            f"no positive image in {split}",
            "give the split at least one, or ingest again with another --seed",
        )
    needed = max(1, int(np.ceil(target_recall * len(positives) - 1e-9)))
    value = float(positives[needed - 1])
    negatives = score[~truth]
    return Threshold(
        value=value,
        rule=f"highest threshold with recall ≥ {target_recall:g}",
        split=split,
        target_recall=target_recall,
        achieved_recall=float((positives >= value).mean()),
        achieved_specificity=float((negatives < value).mean()) if len(negatives) else None,
    )
