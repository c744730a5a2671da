"""Answers with something around them, for tests of analyses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import EvaluateSettings

Columns = Mapping[str, Sequence[Any]]


def threshold(value: float, *, recall: float = 0.95) -> OperatingPoint:
    """Return a threshold chosen on validation."""
    return OperatingPoint(
        Threshold(value=value, rule="", split="val", achieved_recall=recall, achieved_specificity=None)
    )


def two_classes(
    truth: Sequence[bool] | NDArray[np.bool_],
    score: Sequence[float] | NDArray[np.float64],
    *,
    point: OperatingPoint | None = None,
    patients: Sequence[str] | None = None,
    training: Columns | None = None,
    metadata: Columns | None = None,
    **settings: object,
) -> Subject:
    """Return answers to images of the classes well and ill, of which the second is positive."""
    labels = LabelSpace(("well", "ill"), "ill")
    scores = np.asarray(score, dtype=np.float64)
    table = pd.DataFrame(
        {
            "image_id": [f"image{number}" for number in range(len(scores))],
            "y_true": np.where(np.asarray(truth), "ill", "well"),
            "prob_well": 1 - scores,
            "prob_ill": scores,
        }
    )
    rows = pd.DataFrame({"image_id": table["image_id"], "label": table["y_true"], **(metadata or {})})
    return Subject(
        here=ScoredPredictions(table, labels, point or OperatingPoint(), Sampling(patients, len(table))),
        settings=EvaluateSettings.model_validate(settings),
        metadata=rows,
        training=None if training is None else pd.DataFrame(training),
    )
