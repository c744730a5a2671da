"""Intervals from no information: the value, no bounds, and the reason, in every figure that has an interval."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import ANALYSES, ComparedModel, Subject
from medimg_cli.evaluation.analyses.decision_curves import decision_curves
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.results.decisions import DecisionCurves
from medimg_cli.evaluation.summary import overall
from medimg_cli.predictions.operating_point import OperatingPoint, given_point
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import Sampling

RANDOM = np.random.default_rng(3)
N = 60
TRUTH = RANDOM.integers(0, 2, N)
SCORE = np.round(np.clip(RANDOM.normal(0.4 + 0.15 * TRUTH, 0.2), 0.01, 0.99), 3)
ONE_PATIENT, BY_CLASS = ["pA"] * N, ["pA" if ill else "pB" for ill in TRUTH]


def answered(
    truth: np.ndarray, score: np.ndarray, patients: list[str], *, positive: bool = True
) -> ScoredPredictions:
    names = np.array(["NORMAL", "SICK"])
    table = pd.DataFrame(
        {"image_id": [f"i{n}" for n in range(N)], "patient_id": patients, "y_true": names[truth]}
    )
    table["prob_NORMAL"], table["prob_SICK"] = 1 - score, score
    labels = LabelSpace(("NORMAL", "SICK"), "SICK" if positive else None)
    point = given_point(labels, 0.5) if positive else OperatingPoint()
    return ScoredPredictions(table, labels, point, Sampling(patients, N))


def estimates_in(found: object) -> Iterator[Estimate]:
    """Yield every estimate inside a result."""
    if isinstance(found, Estimate):
        yield found
    elif hasattr(found, "model_fields_set"):
        for name in type(found).model_fields:  # type: ignore[attr-defined]
            yield from estimates_in(getattr(found, name))
    elif isinstance(found, dict):
        for each in found.values():
            yield from estimates_in(each)
    elif isinstance(found, tuple | list):
        for each in found:
            yield from estimates_in(each)


def everything_of(here: ScoredPredictions) -> list[Estimate]:
    """Return every figure and every analysis that has intervals."""
    other = answered(here.truth, np.clip(SCORE + 0.05, 0, 1), here.table["patient_id"].tolist())
    other = ScoredPredictions(other.table, here.labels, here.point, here.sampling)
    rows = pd.DataFrame({"image_id": here.table["image_id"], "sex": ["f", "m"] * (N // 2)})
    subject = Subject(
        here=here, tuning=here, metadata=rows, other_model=ComparedModel("other", other, "", "")
    )
    found: list[object] = [overall(here), *(ANALYSES.get(name)(subject) for name in ANALYSES.names())]
    found += [METRICS.get(name)(view) for name in METRICS.names() for view in here.views.values()]
    return [each for result in found for each in estimates_in(result)]


@pytest.mark.parametrize("positive", [True, False])
def test_one_patient_gives_values_and_reasons_and_no_bound_anywhere(positive: bool) -> None:
    found = everything_of(answered(TRUTH, SCORE, ONE_PATIENT, positive=positive))
    assert len(found) > 60
    # The share of a single image is Wilson's, as ever.
    found = [each for each in found if each.n > 1]
    assert [each for each in found if each.low is not None or each.high is not None] == []
    drawn = [each for each in found if each.value is not None and each.reason is None]
    assert all(
        each.method == "" for each in drawn
    )  # a figure that a threshold was chosen for has no interval to miss
    assert sum("one patient" in (each.reason or "") for each in found) > 40


def test_no_interval_has_the_width_of_rounding_noise() -> None:
    for patients in (BY_CLASS, [f"p{n % 2}" for n in range(N)]):
        for each in everything_of(answered(TRUTH, SCORE, patients)):
            if each.low is not None and each.high is not None:
                assert each.high - each.low > 1e-6, each


def test_all_positives_of_one_patient_leave_an_area_without_bounds() -> None:
    view = answered(TRUTH, SCORE, BY_CLASS).views["SICK"]
    for name in ("auroc", "average_precision", "recall"):
        estimate = METRICS.get(name)(view)
        assert estimate.value is not None and (estimate.low, estimate.high) == (None, None)
        assert estimate.reason is not None and estimate.reason.startswith("one patient")
    assert "with the disease" in (METRICS.get("auroc")(view).reason or "")


@pytest.mark.parametrize("sides", [1, N - 1])
def test_one_image_on_a_side_leaves_an_area_without_bounds(sides: int) -> None:
    truth = (np.arange(N) < sides).astype(np.int64)
    view = answered(truth, SCORE, [f"p{n}" for n in range(N)]).views["SICK"]
    estimate = METRICS.get("auroc")(view)
    assert estimate.value is not None and estimate.low is None
    assert estimate.reason is not None and "one patient" in estimate.reason
    unknown = Sampling(None, N)
    alone = METRICS.get("auroc")(type(view)(view.truth, view.score, view.called, unknown))
    assert alone.low is None and "one image" in (alone.reason or "")


def test_a_decision_curve_of_one_patient_has_no_band_and_says_why() -> None:
    found = decision_curves(Subject(here=answered(TRUTH, SCORE, ONE_PATIENT)))
    assert isinstance(found, DecisionCurves)
    curve = found.by_class["SICK"]
    assert curve.model and (curve.low, curve.high) == ((), ())
    assert "one patient" in curve.no_interval


def test_a_perfect_area_has_a_one_sided_bound() -> None:
    view = answered(TRUTH, np.where(TRUTH == 1, 0.9, 0.1), [f"p{n}" for n in range(N)]).views["SICK"]
    for name in ("auroc", "average_precision", "balanced_accuracy", "mcc", "kappa"):
        estimate = METRICS.get(name)(view)
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        assert estimate.low is not None and 0.7 < estimate.low < 1.0
        assert "one-sided" in estimate.method
