"""Scores of probabilities, image by image, that only the true chances make best on average."""

import numpy as np
from numpy.typing import NDArray

_SMALLEST = float(np.finfo(np.float32).eps)
_SMALLEST_OF_LABELS = 1e-12  # that of statistics.probabilities.log_loss_of, whose mean over images this is

ONE_OF_TWO = (
    "mean squared gap of a class's probability and its outcome (0 or 1), from 0 to 1; summed over both classes it would "
    "be twice that"
)
SUMMED = (
    "squared gaps of probability and outcome (0 or 1), summed over the classes, mean over images, from 0 to 2"
)


def log_losses(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return −ln of the probability given to what was true (N,), which is kept off 0.

    Args:
        probabilities: (N, C).
        truth: (N,) class indices.
    """
    likelihood = probabilities[np.arange(len(truth)), truth]
    return -np.log(np.maximum(likelihood, _SMALLEST))


def squared_gaps(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return squared gaps of probability and outcome (N,): `ONE_OF_TWO` for two classes, else `SUMMED`.

    Brier GW. Mon Weather Rev 1950;78:1-3 summed over the classes; of two classes usage is to take one.
    """
    classes = probabilities.shape[1]
    summed: NDArray[np.float64] = ((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1)
    return summed / 2 if classes == 2 else summed


def label_log_losses(
    probabilities: NDArray[np.float64], marks: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return of each image (N,) the sum of −ln(probability of what was true) over its judged labels, and their number.

    Args:
        probabilities: (N, C).
        marks: (N, C) of 1, 0 and NaN where nobody judged.
    """
    known = ~np.isnan(marks)
    likelihood = np.where(marks == 1, probabilities, 1 - probabilities)
    losses = np.where(known, -np.log(np.maximum(likelihood, _SMALLEST_OF_LABELS)), 0.0)
    return losses.sum(axis=1), known.sum(axis=1).astype(np.float64)
