"""The first number of a report."""

from pathlib import Path

import pytest

from medimg_cli.core.evaluation import Leakage
from medimg_cli.core.results.estimate import Estimate
from medimg_cli.reporting.headline import headline, leakage_line, threshold_line, weakest_class
from tests.reporting.cohort import make_cohort


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
    assert "up to 7.5 % may be missed (upper 95 % bound, rule of three, 3/40)" in verdict.remark


def test_few_positives_are_flagged(tmp_path: Path) -> None:
    assert headline(make_cohort(tmp_path, per_class=12).evaluation).flag == "few positives: 12, fewer than 30"


def test_without_a_positive_class_the_weakest_class_stands_beside_the_mean(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, classes=("benign", "malignant", "normal"), positive=None)
    verdict = headline(cohort.evaluation)
    assert verdict.label == "Sensitivity (recall), mean over the classes"
    assert (verdict.figure, verdict.between) == ("93.1 %", "(90.0–96.0)")
    assert verdict.beside == "weakest class: normal, 92.5 % (85.5–97.5)"
    assert verdict.remark.startswith("Missed 3 of 40 images of normal.")


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
