"""The operating threshold: chosen on validation for a wanted recall, never on test."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.run import Threshold
from medimg_cli.errors import DataError, UsageError


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
