"""Several labels an image: which of them are called."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.predictions.prediction_rows import PROBABILITY_PREFIX as PROBABILITY_PREFIX
from medimg_cli.runs.run import Threshold

_UNDECIDED = 0.5
"""Where a label is called that has no threshold of its own."""


def called_labels(
    probabilities: NDArray[np.float64], classes: Sequence[str], thresholds: Mapping[str, Threshold]
) -> NDArray[np.bool_]:
    """Return (N, C), True where the probability reaches the label's own threshold, or 0.5 where it has none."""
    edges = [thresholds[name].value if name in thresholds else _UNDECIDED for name in classes]
    called: NDArray[np.bool_] = probabilities >= np.array(edges)
    return called


def joined(called: NDArray[np.bool_], classes: Sequence[str]) -> str:
    """Return the names of the called labels (C,) as a manifest holds them, "" for none."""
    return LABEL_SEP.join(name for name, yes in zip(classes, called, strict=True) if yes)


def decide(probability: float, threshold: float | None) -> str:
    """Return `positive`, `negative`, or "" when no threshold was chosen."""
    if threshold is None:
        return ""
    return "positive" if probability >= threshold else "negative"
