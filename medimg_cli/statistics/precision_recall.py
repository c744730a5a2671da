"""Average precision, image by image."""

import numpy as np
from numpy.typing import NDArray


def average_precision_influence(
    truth: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return average precision and what each image (N,) adds to its error; the latter sum to 0.

    Average precision is the mean over positives of the precision A / B at their own score, where A counts the positives
    that score at least as high and B all images that do. An image changes it by its own place in that mean and by
    standing in A and B of every positive that scores no higher: the derivative of both, which is the linear part of the
    error. The variance of a mean of several of the same images is the sum of squares of the mean influence, image by
    image or patient by patient.

    Args:
        truth: (N,), True where the reference standard says positive; at least once.
        score: (N,), higher means more likely positive.
    """
    _, place = np.unique(-score, return_inverse=True)
    positives = np.bincount(place, weights=truth)
    at_least = np.bincount(place).cumsum()
    precision = positives.cumsum() / at_least
    count = positives.sum()
    area = float(positives @ precision / count)
    weight = positives / at_least
    no_higher = weight[::-1].cumsum()[::-1]
    their_precision = (weight * precision)[::-1].cumsum()[::-1]
    own = np.where(truth, precision[place] - area, 0.0)
    return area, (own + truth * no_higher[place] - their_precision[place]) / count
