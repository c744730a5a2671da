"""Columns of the manifest that hold identities."""

import random
from pathlib import Path

import pytest

from medimg_cli.audit.checks.raw_identifiers import raw_identifiers
from medimg_cli.audit.findings import AuditContext
from tests.audit.checks.cohort import clean_cohort


def _with_column(root: Path, column: str, values: list[str]) -> AuditContext:
    context = clean_cohort(root)
    rows = context.dataset.rows
    rows[column] = [values[number % len(values)] for number in range(len(rows))]
    return context


def test_patient_ids_that_look_like_record_numbers_are_a_warning(tmp_path: Path) -> None:
    numbers = [str(number) for number in random.Random(0).sample(range(10**6, 10**7), 60)]
    (finding,) = raw_identifiers(_with_column(tmp_path, "patient_id", numbers)).findings
    assert finding.severity == "warning"
    assert (
        "column patient_id holds what looks like record numbers in 108 rows (Safe Harbor H)"
        in finding.message
    )
    assert "code" in finding.advice


@pytest.mark.parametrize(("column", "value", "letter"), [("dob", "1980-02-03", "C"), ("Surname", "Roe", "A")])
def test_a_carried_column_named_for_an_identity_is_a_warning(
    column: str, value: str, letter: str, tmp_path: Path
) -> None:
    (finding,) = raw_identifiers(_with_column(tmp_path, column, ["", value])).findings
    assert (finding.severity, finding.count) == ("warning", 54)
    assert f"Safe Harbor {letter}" in finding.message
    assert value not in finding.message


def test_study_dates_are_info(tmp_path: Path) -> None:
    (finding,) = raw_identifiers(_with_column(tmp_path, "acquired", ["2021-02-03"])).findings
    assert finding.severity == "info"


def test_ids_made_of_file_names_are_left_to_the_check_of_names(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    rows = context.dataset.rows
    rows.loc[0, ["image_id", "patient_id", "path"]] = ["a/DOE^JANE", "a/DOE^JANE", "raw/a/DOE^JANE.png"]
    assert raw_identifiers(context).findings == ()
    rows.loc[0, "path"] = "raw/a/1.png"
    (finding,) = raw_identifiers(context).findings
    assert "column image_id" in finding.message


def test_the_patients_of_the_kermany_set_are_silent(shared_data: Path, tmp_path: Path) -> None:
    names = [p.name.split("_")[0] for p in (shared_data / "chest_xray" / "train" / "PNEUMONIA").iterdir()]
    assert raw_identifiers(_with_column(tmp_path, "patient_id", names[:100])).findings == ()
