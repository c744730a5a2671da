"""Which images the model got wrong."""

from pathlib import Path

from medimg_cli.predictions.predictions import read_predictions
from medimg_cli.reporting.cases import wrong_cases
from tests.reporting.cohort import Cohort, make_cohort


def _kinds(cohort: Cohort) -> dict[str, list[str]]:
    table = read_predictions(cohort.run.predictions_path("test"))
    return {
        kind.title: [case.image_id for case in kind.shown] for kind in wrong_cases(cohort.evaluation, table)
    }


def test_missed_images_come_before_false_alarms_and_the_surest_error_comes_first(tmp_path: Path) -> None:
    assert _kinds(make_cohort(tmp_path)) == {
        "Missed cases": ["test-1-000", "test-1-001", "test-1-002"],
        "False alarms": ["test-0-001", "test-0-000"],
    }


def test_without_a_positive_class_every_error_is_one_kind(tmp_path: Path) -> None:
    kinds = _kinds(make_cohort(tmp_path, classes=("benign", "malignant", "normal"), positive=None))
    assert list(kinds) == ["Misclassified images"]
    assert set(kinds["Misclassified images"]) == {
        "test-2-000",
        "test-2-001",
        "test-2-002",
        "test-0-000",
        "test-0-001",
    }


def test_no_error_leaves_the_kinds_empty(tmp_path: Path) -> None:
    assert _kinds(make_cohort(tmp_path, missed=0))["Missed cases"] == []


def test_of_many_errors_a_page_has_pictures_a_hundred_are_listed_and_the_rest_is_counted(
    tmp_path: Path,
) -> None:
    cohort = make_cohort(tmp_path, per_class=170, missed=170)
    missed = wrong_cases(cohort.evaluation, read_predictions(cohort.run.predictions_path("test")))[0]
    assert (len(missed.shown), len(missed.listed), missed.beyond, missed.total) == (18, 100, 52, 170)


def test_a_table_without_image_names_is_told_by_its_rows(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, positive=None)
    table = read_predictions(cohort.run.predictions_path("test")).drop(columns="image_id")
    (kind,) = wrong_cases(cohort.evaluation, table)
    assert {case.image_id for case in kind.shown} == {"row 2", "row 3", "row 42", "row 43", "row 44"}


def test_one_image_of_each_patient_stands_before_the_others(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, missed=5)
    table = read_predictions(cohort.run.predictions_path("test"))
    before = [case.image_id for case in wrong_cases(cohort.evaluation, table)[0].shown]
    table.loc[table["image_id"].isin(before[:3]), "patient_id"] = "one patient"
    missed = wrong_cases(cohort.evaluation, table)[0]
    assert [case.image_id for case in missed.shown] == [before[at] for at in (0, 3, 4, 1, 2)]
    assert "of 3 patients: one image of each stands before the others" in missed.meaning
