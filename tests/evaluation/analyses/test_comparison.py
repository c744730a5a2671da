"""Two models on the same images."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from medimg_cli.evaluation.analyses import ComparedModel, Subject
from medimg_cli.evaluation.analyses.comparison import NOT_ASKED, comparison
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.results.decisions import Comparison, Difference
from medimg_cli.statistics.areas import area_variance, auroc_influence
from medimg_cli.statistics.paired_tests import mcnemar
from tests.evaluation.analyses.answers import at, one_of, several_of

GENERATOR = np.random.default_rng(17)
TRUTH = GENERATOR.integers(0, 2, 240)
GOOD = np.clip(0.3 + 0.4 * TRUTH + GENERATOR.normal(0, 0.18, 240), 0.001, 0.999)
POOR = np.clip(0.4 + 0.2 * TRUTH + GENERATOR.normal(0, 0.25, 240), 0.001, 0.999)


def two(score: np.ndarray, patients: list[str] | None = None) -> ScoredPredictions:
    probabilities = np.stack([1 - score, score], axis=1)
    return one_of(TRUTH, probabilities, positive="b", point=at(0.5), patients=patients)


def compared(first: ScoredPredictions, second: ScoredPredictions) -> dict[str, Difference]:
    first.table["patient_id"] = first.table["image_id"]
    found = comparison(Subject(here=first, other_model=ComparedModel("other", second, "s", "p")))
    assert isinstance(found, Comparison)
    return {row.name: row for row in found.differences}


def test_without_another_model_there_is_nothing_to_compare() -> None:
    assert comparison(Subject(here=two(GOOD))) == NOT_ASKED


def test_each_row_is_the_difference_of_what_both_have_alone() -> None:
    first, second = two(GOOD), two(POOR)
    rows = compared(first, second)
    for name in ("recall", "specificity", "accuracy", "auroc"):
        mine, theirs = (METRICS.get(name)(answered.views["b"]).value for answered in (first, second))
        assert (rows[name].first, rows[name].second) == (mine, theirs)
        assert mine is not None and theirs is not None
        estimate = rows[name].difference
        assert estimate.value == pytest.approx(mine - theirs)
        assert estimate.low is not None and estimate.high is not None
        assert -1 <= estimate.low < mine - theirs < estimate.high <= 1


def test_recall_is_tested_on_the_positives_alone() -> None:
    rows = compared(two(GOOD), two(POOR))
    found, also = (score >= 0.5 for score in (GOOD, POOR))
    ill = TRUTH == 1
    only_first, only_second = int((found & ~also & ill).sum()), int((also & ~found & ill).sum())
    assert (rows["recall"].only_first, rows["recall"].only_second) == (only_first, only_second)
    assert (rows["recall"].p, rows["recall"].test) == mcnemar(only_first, only_second)
    assert rows["recall"].difference.n == ill.sum()


def test_the_areas_are_tested_as_paired() -> None:
    row = compared(two(GOOD), two(POOR))["auroc"]
    (area, of_first), (other, of_second) = (auroc_influence(TRUTH == 1, score) for score in (GOOD, POOR))
    error = area_variance(TRUTH == 1, of_first - of_second) ** 0.5
    assert row.difference.value == pytest.approx(area - other)
    assert row.p == pytest.approx(2 * norm.sf((area - other) / error))
    assert row.difference.low == pytest.approx(area - other - 1.959964 * error, abs=0.006)
    assert row.p is not None and row.p_adjusted is not None and row.p < row.p_adjusted <= 4 * row.p


def test_a_model_does_not_differ_from_itself() -> None:
    rows = compared(two(GOOD), two(GOOD))
    assert {row.difference.value for row in rows.values()} == {0.0}
    assert all(row.p in (None, 1.0) for row in rows.values())


def test_patients_with_copies_of_their_images_make_nothing_surer() -> None:
    def copies(score: np.ndarray) -> ScoredPredictions:
        once = two(score)
        patients = [f"p{place}" for place in range(240)] * 3
        probabilities = np.tile(once.probabilities, (3, 1))
        return one_of(np.tile(TRUTH, 3), probabilities, positive="b", point=at(0.5), patients=patients)

    once, thrice = compared(two(GOOD), two(POOR)), compared(copies(GOOD), copies(POOR))
    for name, row in once.items():
        wide = thrice[name].difference
        assert None not in (row.difference.low, row.difference.high, wide.low, wide.high)
        width = row.difference.high - row.difference.low  # type: ignore[operator]
        assert wide.high - wide.low == pytest.approx(width, rel=0.15)  # type: ignore[operator]
    assert thrice["recall"].test == "McNemar by patient, exact"
    only_first, only_second = once["recall"].only_first, once["recall"].only_second
    assert only_first is not None and only_second is not None
    assert thrice["recall"].p == pytest.approx(binomtest(only_first, only_first + only_second).pvalue)
    assert thrice["auroc"].test == "DeLong by patient (Obuchowski), paired"


def test_several_classes_are_compared_by_their_means() -> None:
    truth = GENERATOR.integers(0, 3, 300)
    logits = [GENERATOR.normal(0, 1, (300, 3)) + strength * np.eye(3)[truth] for strength in (2.5, 1.0)]
    first, second = (one_of(truth, np.exp(each) / np.exp(each).sum(axis=1, keepdims=True)) for each in logits)
    rows = compared(first, second)
    assert list(rows) == ["macro_recall", "accuracy", "macro_auroc"]
    for row in rows.values():
        assert row.difference.low is not None and row.difference.low > 0
        assert row.p is not None and row.p < 0.001
    right = [(answered.truth == answered.called) for answered in (first, second)]
    recalls = [np.mean([hit[truth == index].mean() for index in range(3)]) for hit in right]
    assert rows["macro_recall"].difference.value == pytest.approx(recalls[0] - recalls[1])


def test_labels_are_compared_one_by_one() -> None:
    marks = GENERATOR.integers(0, 2, (150, 2)).astype(np.float32)
    marks[:40, 1] = np.nan
    scores = [
        np.clip(0.5 * np.nan_to_num(marks) + each * GENERATOR.random((150, 2)), 0, 1) for each in (0.6, 0.9)
    ]
    first, second = (several_of(marks, score) for score in scores)
    rows = compared(first, second)
    assert set(rows) == {f"{figure} of {name}" for figure in ("recall", "auroc") for name in "ab"}
    assert rows["auroc of b"].difference.n == 110


def test_a_figure_that_one_class_alone_does_not_have_says_why() -> None:
    ill = one_of(np.ones(20, dtype=np.int64), np.full((20, 2), 0.5), positive="b", point=at(0.5))
    rows = compared(ill, replace(ill))
    assert rows["specificity"].difference.reason == "no such image"
    assert rows["auroc"].difference.reason == "only one class occurs"
