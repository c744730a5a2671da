"""What is made of the answers beside the metrics: a shelf, one file per analysis.

An analysis is registered under the name of the field of `Evaluation` that holds its result, or says in one line why
there is none; that line stands in the report among the checks that did not run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from pydantic import BaseModel

from medimg_cli.core.answers import AnswerKind
from medimg_cli.core.settings import EvaluateSettings
from medimg_cli.metrics.answered import Answered
from medimg_cli.registry import Registry


@dataclass(frozen=True)
class Subject:
    """What an analysis may look at.

    Args:
        here: the answers that are evaluated.
        settings: of `evaluate`.
        tuning: answers to validation, on which thresholds may be chosen and quantiles measured; None without them.
        metadata: of the images of `here`, row by row: the manifest's columns, or those of a table that somebody else
            made. Column `image_id` is always there.
        training: the same of the images the model learnt from; None where they are not known.
        temperature: by which the logits were divided; None where it is not known, or several networks have their own.
        answers: how logits became probabilities; None where that is not known.
        ordinal: the classes are grades, in their order.
    """

    here: Answered
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    tuning: Answered | None = None
    metadata: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: pd.DataFrame | None = None
    temperature: float | None = None
    answers: AnswerKind | None = None
    ordinal: bool = False


Analysis = Callable[[Subject], BaseModel | str]
ANALYSES: Registry[Analysis] = Registry("analysis", __name__)
