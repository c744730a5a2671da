"""Areas under the ROC and the precision–recall curve, image by image: value and what each image adds to its error.

The variance of an area, of a mean of several or of a difference of two is the sum of squares of what images, or patients,
add; it is known for any of them that is of the same images.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medimg_cli.statistics.sampling import different

Floats = NDArray[np.float64]


def auroc_influence(truth: NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Return the area under the ROC curve and what each image (N,) adds to its error; the latter sum to 0.

    Args:
        truth: (N,), True where the reference standard says positive; both values occur.
        score: (N,), higher means more likely positive.
    """
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    area = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
    influence = np.empty(len(truth))
    influence[truth] = ((ranks[:m] - rankdata(positive)) / n - area) / m
    influence[~truth] = (1.0 - (ranks[m:] - rankdata(negative)) / m - area) / n
    return area, influence


def delong(
    truth: NDArray[np.bool_], score: Floats, unit_of: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance.

    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845; by midranks as Sun X, Xu W.
    IEEE Signal Process Lett 2014;21:1389-1393; by patient Obuchowski NA. Biometrics 1997;53:567-578.

    Args:
        truth, score: (N,), as `auroc_influence` has them.
        unit_of: (N,), the patient of each image, 0..P − 1; None = images are independent.
    """
    area, influence = auroc_influence(truth, score)
    return area, area_variance(truth, influence, unit_of)


def area_variance(
    truth: NDArray[np.bool_], influence: Floats, unit_of: NDArray[np.int64] | None = None
) -> float:
    """Return the variance of an area, or of the difference of two, from what each image (N,) adds to its error."""
    units = np.arange(len(truth)) if unit_of is None else unit_of
    count = int(units.max()) + 1
    sides = [np.bincount(units[side], weights=influence[side], minlength=count) for side in (truth, ~truth)]
    numbers = [
        len(truth[side]) if unit_of is None else different(units[side], count) for side in (truth, ~truth)
    ]
    variance = sum(
        _unbiased(number) * float(side @ side) for number, side in zip(numbers, sides, strict=True)
    )
    return max(0.0, variance + 2 * _unbiased(count) * float(sides[0] @ sides[1]))


def average_precision_influence(truth: NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Return average precision and what each image (N,) adds to its error; the latter sum to 0.

    Average precision is the mean over positives of the precision A / B at their own score, where A counts the positives
    that score at least as high and B all images that do. An image changes it by its own place in that mean and by
    standing in A and B of every positive that scores no higher: the derivative of both, which is the linear part of the
    error.

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


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else 1.0
