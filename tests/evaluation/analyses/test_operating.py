"""Trade-offs and prevalences: of the class that is asked about, or of all."""

import numpy as np
import pandas as pd

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.decisions import OperatingPoints
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import EvaluateSettings

GENERATOR = np.random.default_rng(6)
NAMES = ("a", "b", "c")


def subject(truth: list[str], positive: str | None = None, **options: object) -> Subject:
    scores = GENERATOR.dirichlet(np.ones(3), len(truth))
    table = pd.DataFrame({"image_id": range(len(truth)), "y_true": truth})
    table = table.assign(**{f"prob_{name}": scores[:, index] for index, name in enumerate(NAMES)})
    here = ScoredPredictions(table, LabelSpace(NAMES, positive), OperatingPoint(), Sampling(None, len(truth)))
    return Subject(here, EvaluateSettings.model_validate(options))


def operating(asked: Subject) -> OperatingPoints:
    found = ANALYSES.get("operating")(asked)
    assert isinstance(found, OperatingPoints)
    return found


def test_the_positive_class_alone_is_asked_about_else_every_class() -> None:
    truth = ["a", "b", "c"] * 20
    assert list(operating(subject(truth, "b")).by_class) == ["b"]
    assert list(operating(subject(truth)).by_class) == ["a", "b", "c"]


def test_stated_prevalences_stand_beside_the_observed_one() -> None:
    found = operating(subject(["a", "b", "b", "c"] * 20, "b", prevalence="0.01,0.1")).by_class["b"]
    assert [each.prevalence for each in found.at_prevalences] == [0.5, 0.01, 0.1]
    assert [each.observed for each in found.at_prevalences] == [True, False, False]
    assert len(found.trade_offs) == 5


def test_a_class_that_is_not_shown_both_with_and_without_is_left_out() -> None:
    assert list(operating(subject(["a", "b"] * 20)).by_class) == ["a", "b"]
    assert ANALYSES.get("operating")(subject(["a"] * 20, "a")) == "no class occurs both with and without it"
