"""Sets of classes instead of one: how probable a class must be to belong to an image's set.

Class-conditional split conformal prediction: Vovk V. ACML 2012, PMLR 25:475-490; Sadinle M, Lei J, Wasserman L. J Am
Stat Assoc 2019;114:223-234. Among n images of a class that a model had not learnt from, the quantile of rank
ceil((n + 1)(1 − alpha)) of the score 1 − p of that class is one that a further image of the class passes with a chance of
at most alpha. This holds whatever the model is, provided that the image and those n are exchangeable: that, had they come
in any other order, nobody could have told. It does not hold for images of another site, device or case mix, and only
nearly where the n images are of fewer patients or had a part in training (as validation has, which chose the epoch and
fitted the temperature).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def least_probabilities(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the least probability that puts each class into a set, and how many images that rests on.

    Args:
        probabilities: (N, C), 0..1, of images the model had not learnt from.
        truth: (N,) class indices.
        alpha: chance of missing the right class that is accepted, above 0 and below 1.

    Returns:
        (C,) probabilities, 0 of a class with too few images for `alpha`, which so stands in every set; (C,) counts.

    >>> nine = np.linspace(0.1, 0.9, 9)
    >>> least_probabilities(np.stack([nine, 1 - nine], axis=1), np.zeros(9, dtype=np.int64), 0.1)[0].tolist()
    [0.1, 0.0]
    """
    classes = probabilities.shape[1]
    counts = np.bincount(truth, minlength=classes)
    least = np.zeros(classes)
    for index, count in enumerate(counts):
        rank = max(1, int(np.ceil((count + 1) * (1 - alpha) - 1e-9)))  # rounding errors do not lift it
        if rank <= count:
            least[index] = np.sort(probabilities[truth == index, index])[count - rank]
    return least, counts


def sets_of(probabilities: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N, C), True where a class belongs to the set of an image; a set may be empty.

    Args:
        probabilities: (N, C).
        least: (C,), as `least_probabilities` returns them.
    """
    return probabilities >= least


_MOST_POINTS = 200


def most_certain_first(certainty: NDArray[np.float64], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the places (N,) of images from the most certain to the least; equals stand in the order of their ids."""
    order: NDArray[np.int64] = np.lexsort((np.asarray(ids, dtype=str), -certainty)).astype(np.int64)
    return order


def selective_risk(wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of wrong answers (N,) among the first 1, 2, … N images.

    Its mean is the area under the risk–coverage curve: Geifman Y, Uziel G, El-Yaniv R. ICLR 2019, arXiv:1805.08206.

    Args:
        wrong: (N,), the most certain image first.

    >>> selective_risk(np.array([False, False, True, False])).round(4).tolist()
    [0.0, 0.0, 0.3333, 0.25]
    """
    risk: NDArray[np.float64] = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return risk


def kept_points(n: int) -> NDArray[np.int64]:
    """Return which of n points are drawn: all of them, or 200 at even distances, the first and the last included."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(np.int64))


def referred_of(n: int, share: float) -> int:
    """Return how many of n images a share of them is, halves rounded up."""
    return int(np.floor(share * n + 0.5))
