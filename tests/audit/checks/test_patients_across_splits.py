"""Patients on both sides of a split."""

from pathlib import Path

import pytest

from medimg_cli.audit.checks.patients_across_splits import patients_across_splits
from medimg_cli.audit.findings import CheckSkipped
from medimg_cli.dataset.manifest import FROM_NAMES
from tests.audit.checks.cohort import clean_cohort, with_info, with_rows


def test_a_patient_in_two_splits_is_an_error_that_names_no_patient(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["train-sick-000", "test-sick-000"], patient_id="jones")
    context = with_rows(context, ["train-sick-001", "val-sick-001", "val-sick-002"], patient_id="smith")
    (finding,) = patients_across_splits(context).findings
    assert (finding.severity, finding.count) == ("error", 2)
    assert finding.message == (
        "2 patients in more than one split (train and test: 1, train and val: 1), 5 images"
    )
    assert set(finding.image_ids) >= {"train-sick-000", "test-sick-000", "val-sick-002"}


def test_a_patient_with_many_images_in_one_split_is_fine(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["train-sick-000", "train-sick-001"], patient_id="jones")
    assert patients_across_splits(context).findings == ()


def test_without_known_patients_the_check_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="--patient-col"):
        patients_across_splits(with_info(clean_cohort(tmp_path), patients_known=False))


def test_names_read_from_files_of_a_published_split_are_a_reason_to_look_not_proof(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["train-sick-000", "test-sick-000"], patient_id="person1")
    (finding,) = patients_across_splits(
        with_info(context, patients_from=FROM_NAMES, splits_given=True)
    ).findings
    assert finding.severity == "warning"
    assert "1 patient name in more than one split" in finding.message
    assert "--patient-regex" in finding.advice
