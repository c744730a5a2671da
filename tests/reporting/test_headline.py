"""The first number of a report."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from medimg_cli.dataset.leakage import Leak
from medimg_cli.evaluation.evaluation import ExamFigures, Leakage, Missed
from medimg_cli.evaluation.remarks import remarks_on_results
from medimg_cli.evaluation.results.decisions import Contract
from medimg_cli.reporting.verdict import (
    gravest,
    headline,
    leakage_line,
    resampling_line,
    threshold_line,
    two_by_two,
    weakest_class,
    weakest_table,
)
from medimg_cli.stages.report import gather
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort

Verdict = Literal["met", "missed", "cannot be told", ""]


def test_sensitivity_of_the_positive_class_comes_first_with_interval_and_missed_cases(tmp_path: Path) -> None:
    verdict = headline(make_cohort(tmp_path, missed=3).evaluation)
    assert verdict.label == "Sensitivity (recall) for PNEUMONIA at the operating threshold"
    assert (verdict.figure, verdict.between) == ("92.5 %", "(85.5–97.5)")
    assert verdict.beside == "missed 3 of 40"
    assert verdict.flag == ""
    assert [fact.label for fact in verdict.facts][:2] == ["Specificity", "AUROC"]


def test_no_missed_case_is_told_as_an_upper_bound_and_not_as_certainty(tmp_path: Path) -> None:
    verdict = headline(make_cohort(tmp_path, missed=0).evaluation)
    assert verdict.figure == "missed 0 of 40"
    assert verdict.beside == "sensitivity 100 % (93.0–100)"
    assert "0 of 40 missed does not mean that none will be" in verdict.remark
    assert "at most 3/40 = 7.5 % (95 % upper bound, rule of three)" in verdict.remark


def test_where_patients_have_several_images_the_bound_is_that_of_patients(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path, missed=0).evaluation
    method = "Wilson, as of 11 independent patients"
    recall = Estimate(value=1.0, low=0.7412, high=1.0, method=method, n=40, count=40)
    clustered = {"metrics": evaluation.metrics | {"recall": recall}, "resampled": "patient"}
    assert "at most 25.9 % (95 % upper bound, Wilson, as of 11 independent patients)" in (
        headline(evaluation.model_copy(update=clustered)).remark
    )


def test_what_intervals_rest_on_is_said_in_one_line(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    assert resampling_line(evaluation) == "Intervals: images taken as independent, 80 images of 80 patients"
    recall = evaluation.metrics["recall"].model_copy(update={"design_effect": 1.3712})
    clustered = {"metrics": evaluation.metrics | {"recall": recall}, "resampled": "patient", "patients": 31}
    assert resampling_line(evaluation.model_copy(update=clustered)) == (
        "Intervals: patients resampled with all their images, 80 images of 31 patients; design effect 1.4"
    )
    unknown = evaluation.leakage.model_copy(update={"patients_known": False})
    assert "patients are not known" in resampling_line(evaluation.model_copy(update={"leakage": unknown}))


def test_few_positives_are_flagged(tmp_path: Path) -> None:
    assert headline(make_cohort(tmp_path, per_class=12).evaluation).flag == "few positives: 12, fewer than 30"


def test_without_a_positive_class_the_weakest_class_stands_beside_the_mean(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, classes=("benign", "malignant", "normal"), positive=None)
    verdict = headline(cohort.evaluation)
    assert verdict.label == "Sensitivity (recall), mean over the classes"
    assert (verdict.figure, verdict.between) == ("93.1 %", "(90.0–96.0)")
    assert verdict.beside == "weakest class: normal, 92.5 % (85.5–97.5)"
    assert verdict.remark.startswith("Missed 3 of 40 images of normal.")


def test_of_labels_the_mean_specificity_stands_beside_the_mean_sensitivity(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path, positive=None).evaluation
    figures = evaluation.metrics | {"macro_specificity": Estimate(value=0.11, low=0.04, high=0.2, n=80)}
    facts = headline(evaluation.model_copy(update={"metrics": figures, "several_labels": True})).facts
    assert ("Specificity, macro average", "11.0 % (4.0–20.0)") in [(each.label, each.text) for each in facts]


def test_three_classes_with_a_positive_one_have_no_operating_threshold(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, classes=("benign", "normal", "malignant"), positive="malignant")
    verdict = headline(cohort.evaluation)
    assert verdict.label == "Sensitivity (recall) for malignant"
    assert threshold_line(cohort.evaluation).startswith("none")


def test_a_split_without_positive_images_has_no_sensitivity(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    undefined = Estimate(value=None, n=0, count=0, reason="no positive image")
    missed = evaluation.missed.model_copy(update={"count": 0, "of": 0}) if evaluation.missed else None
    verdict = headline(
        evaluation.model_copy(
            update={"metrics": evaluation.metrics | {"recall": undefined}, "missed": missed}
        )
    )
    assert verdict.figure == "not defined: no positive image"
    assert verdict.flag == "few positives: 0, fewer than 30"


def test_no_class_is_the_weakest_where_none_was_measured(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    assert weakest_class(evaluation.model_copy(update={"per_class": {}})) is None


@pytest.mark.parametrize(
    ("leakage", "words"),
    [
        (Leakage(patients_known=True, shared_patients=0, shared_files=0), "none: 0 patients"),
        (Leakage(patients_known=False, shared_patients=0, shared_files=0), "patients are not known"),
        (
            Leakage(patients_known=True, patients_certain=False, shared_patients=3, shared_files=0),
            "3 patient names read from files",
        ),
        (
            Leakage(patients_known=True, shared_patients=1, shared_files=4, allowed=True),
            "LEAK between splits: 1 patient, 4",
        ),
    ],
)
def test_leakage_is_told_in_one_line(leakage: Leakage, words: str) -> None:
    assert leakage_line(leakage).startswith(words)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "; near duplicates were not searched for"),
        (0, "; 0 near duplicates"),
        (3, "; NEAR DUPLICATES: 3 images here like one of another split, in another file"),
    ],
)
def test_near_duplicates_are_counted_or_said_not_to_be(count: int | None, words: str) -> None:
    leakage = Leakage(patients_known=True, shared_patients=0, shared_files=0, near_duplicates=count)
    assert leakage_line(leakage).endswith(words)
    if count:
        leak = Leak(of=9, images=count, identical=0, near=count, patient=0, group=0)
        line = leakage_line(leakage.model_copy(update={"leak": leak}))
        assert line.lower().count("near duplicates") == 1


def test_the_verdict_is_that_of_exams_where_the_model_decides_on_them(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path, missed=3).evaluation
    recall = Estimate(value=0.5, low=0.2, high=0.8, method="", n=10, count=5)
    own = evaluation.model_dump(include={"threshold", "class_counts", "per_class", "patients"})
    exams = ExamFigures.model_validate(
        own
        | {"n": 20, "images": evaluation.n, "source": "folder", "pooling": "max", "why": "AUROC 0.9"}
        | {"metrics": {"recall": recall, "specificity": recall}, "confusion": None}
        | {"missed": Missed(count=5, of=10, ids=())}
    )
    evaluation = evaluation.model_copy(update={"exams": exams})
    counts = two_by_two(evaluation)
    assert counts is not None and counts.head[-1] == "Exams"
    assert counts.rows[0] == ("PNEUMONIA", "5 found", "5 missed", "10")
    verdict = headline(evaluation)
    assert verdict.label.endswith(", by exam")
    assert (verdict.figure, verdict.beside) == ("50.0 %", "missed 5 of 10")
    assert verdict.facts[-1].text.startswith("20 exams (folder), pooled by max")


def test_an_area_below_chance_stands_before_training_that_was_cut_off(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, per_class=3, missed=2)
    area = Estimate(value=0.444, low=0.02, high=0.98, n=6)
    doubt = remarks_on_results("PNEUMONIA", {"auroc": area}, None)
    evaluation = cohort.evaluation.model_copy(update={"warnings": (*cohort.evaluation.warnings, *doubt)})
    content = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    content = replace(content, evaluation=evaluation)
    content = replace(content, record=content.record.model_copy(update={"status": "interrupted"}))
    assert [each.label for each in gravest(content)] == ["Below chance", "Few cases", "Cut-off training"]
    assert gravest(content)[0].text.startswith("AUROC 0.444 is below 0.5: is PNEUMONIA the positive class")


@pytest.mark.parametrize(
    ("count", "low", "high", "outcome", "why", "shown"),
    [
        (
            1,
            0.0614,
            0.7923,
            "missed",
            "the whole interval, 6.1–79.2\u00a0%, lies below it",
            "1 of 3 (6.1–79.2 %)",
        ),
        (
            2,
            0.2077,
            0.9615,
            "cannot be told",
            "it lies within the interval, 20.8–96.2\u00a0%",
            "2 of 3 (20.8–96.2 %)",
        ),
        (
            3,
            0.4385,
            1.0,
            "cannot be told",
            "it lies within the interval, 43.9–100\u00a0%",
            "3 of 3 (43.9–100 %)",
        ),
        (2, None, None, "cannot be told", "there is no interval", "2 of 3"),
    ],
)
def test_of_few_images_counts_stand_beside_their_interval_which_the_target_is_held_against(
    tmp_path: Path, count: int, low: float | None, high: float | None, outcome: Verdict, why: str, shown: str
) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    recall = Estimate(value=count / 3, low=low, high=high, n=3, count=count)
    contract = Contract(
        positive="PNEUMONIA",
        target=0.95,
        verdict=outcome,
        change={},
        positives=3,
        patients=3,
        expected=None,
        reaches=None,
        least_for_bound=None,
        promise="",
        outcome="",
    )
    verdict = headline(
        evaluation.model_copy(
            update={
                "metrics": evaluation.metrics | {"recall": recall},
                "missed": Missed(count=3 - count, of=3, ids=()),
                "contract": contract,
            }
        )
    )
    assert verdict.target == f"It is a sensitivity of at least 95 %; {why}"
    page = f"{verdict.figure} {verdict.between}".rstrip(), verdict.beside
    assert page == (
        (shown, f"missed {3 - count} of 3") if count < 3 else ("missed 0 of 3", f"sensitivity {shown}")
    )


def test_without_a_positive_class_the_weakest_of_few_images_has_its_interval(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path, positive=None).evaluation
    recall = Estimate(value=1 / 3, low=0.0614, high=0.7923, n=3, count=1)
    evaluation = evaluation.model_copy(update={"per_class": {"PNEUMONIA": {"recall": recall}}})
    assert headline(evaluation).beside == "weakest class: PNEUMONIA, 1 of 3 (6.1–79.2 %)"
    assert weakest_table(evaluation).rows[0][-1] == "1 of 3 (6.1–79.2 %)"
