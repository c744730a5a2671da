"""Answered images for the tests of analyses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import truth_columns
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.sampling import Sampling


def at(value: float) -> OperatingPoint:
    """Return a threshold."""
    return OperatingPoint(
        Threshold(
            value=value,
            rule="given",
            split="val",
            target_recall=0.9,
            achieved_recall=0.9,
            achieved_specificity=0.9,
        )
    )


def one_of(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    *,
    positive: str | None = None,
    point: OperatingPoint | None = None,
    patients: Sequence[str] | None = None,
) -> ScoredPredictions:
    """Return images of one class each.

    Args:
        truth: (N,) class indices.
        probabilities: (N, C) of classes a, b, c …
        patients: (N,) ids; None = not known.
    """
    classes = tuple("abcdefgh"[: probabilities.shape[1]])
    table = pd.DataFrame(
        {
            "image_id": [f"{place:05}" for place in range(len(truth))],
            "y_true": [classes[index] for index in truth],
            **{f"prob_{name}": probabilities[:, index] for index, name in enumerate(classes)},
        }
    )
    sampling = Sampling(patients, len(truth))
    return ScoredPredictions(table, LabelSpace(classes, positive), point or OperatingPoint(), sampling)


def several_of(
    marks: NDArray[np.float32], probabilities: NDArray[np.float64], *, positive: str | None = None
) -> ScoredPredictions:
    """Return images with several labels each.

    Args:
        marks: (N, C) of 1, 0 and NaN.
        probabilities: (N, C) of labels a, b, c …
    """
    classes = tuple("abcdefgh"[: marks.shape[1]])
    columns = {f"prob_{name}": probabilities[:, index] for index, name in enumerate(classes)}
    table = pd.DataFrame(
        {
            "image_id": [f"{place:05}" for place in range(len(marks))],
            "y_true": "",
            **truth_columns(marks, classes),
            **columns,
        }
    )
    labels = LabelSpace(classes, positive, several=True)
    return ScoredPredictions(table, labels, OperatingPoint(), Sampling(None, len(marks)))
