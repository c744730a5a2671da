"""What is made of the answers beside the metrics: a shelf, one file per analysis.

An analysis is registered under the name of the field of `Evaluation` that holds its result, or says in one line why
there is none; that line stands in the report among the checks that did not run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from pydantic import BaseModel

from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.preprocessing.corruptions import DisturbedAnswers
from medimg_cli.preprocessing.intensities import Intensities
from medimg_cli.registry import Registry
from medimg_cli.runs.run import Exams
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.workspace.operating_settings import EvaluateSettings


@dataclass(frozen=True)
class ComparedModel:
    """What another model answered to the same images.

    Args:
        name: of its run or file.
        scored: its answers in the order of the images that are evaluated, decided by `rule`.
        same_images: SHA-256 over image ids and reference standard, which both share.
        predictions_sha256: of its predictions file.
        rule: under which both decide, in words.
    """

    name: str
    scored: ScoredPredictions
    same_images: str
    predictions_sha256: str
    rule: str = ""


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
        intensities: how bright images of training and of `here` are, samples of both; None where that is not known.
        other_model: another model's answers to compare with; None where none was named.
        exams: how exams are decided on; None where the model answers images alone.
        disturbed: what the model answered to disturbed images of `here`, or one line why that is not known.
    """

    here: ScoredPredictions
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    tuning: ScoredPredictions | None = None
    metadata: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: pd.DataFrame | None = None
    temperature: float | None = None
    answers: AnswerKind | None = None
    ordinal: bool = False
    intensities: tuple[Intensities, Intensities] | None = None
    other_model: ComparedModel | None = None
    exams: Exams | None = None
    disturbed: DisturbedAnswers | str = "there are no pixels to disturb, only answers"


Analysis = Callable[[Subject], BaseModel | str]
ANALYSES: Registry[Analysis] = Registry("analysis", __name__)
