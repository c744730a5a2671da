"""Identities in the columns of a table."""

import random

import pytest

from medimg_cli.privacy.forms.manifest_columns import identities_in_column

_RECORDS = [str(number) for number in random.Random(0).sample(range(10**6, 10**7), 200)]


def _letters(name: str, values: list[str]) -> list[tuple[str, bool]]:
    return [(found.letter, found.direct) for found in identities_in_column(name, values)]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("patient_id", _RECORDS, [("H", True)]),
        ("patient_id", ["MRN 471123", "MRN 471124"], [("H", True)]),
        ("patient_id", ["DOE^JANE", "ROE^JIM"], [("A", True)]),
        ("patient_id", ["Doe, Jane", "Roe, Jim", "Poe, Ann"], [("A", True)]),
        ("patient_id", ["Jane Doe", "Jim Roe", "Ann Poe"], [("A", True)]),
        ("patient_id", ["jane@example.org", "jim@example.org"], [("F", True)]),
        ("patient_id", ["123-45-6789"], [("G", True)]),
        ("case_no", _RECORDS, [("H", True)]),
        ("Patient Name", ["Jane"], [("A", True)]),
        ("Nachname", ["Meier"], [("A", True)]),
        ("date_of_birth", ["1980"], [("C", True)]),
        ("Address", ["Elm Lane"], [("B", True)]),
        ("phone", ["123"], [("D", True)]),
        ("Accession Number", ["X1"], [("J", True)]),
        ("comment", ["", "call +41 44 123 45 67"], [("D", True)]),
        ("study_date", ["2021-02-03", "2021-02-04"], [("C", False)]),
        ("age", ["45", "93", *["50"] * 30], [("C", True)]),
        ("study_uid", ["1.2.840.113619.2.55.3.1"], [("R", False)]),
        ("patient_id", [str(4_711_023 + 3 * n) for n in range(100)], [("H", False)]),
    ],
)
def test_an_identity_is_told_with_its_letter(
    name: str, values: list[str], expected: list[tuple[str, bool]]
) -> None:
    assert _letters(name, values) == expected


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patient_id", [f"person{n}" for n in range(1500)]),
        ("patient_id", [f"patient{n:05d}" for n in range(300)]),
        ("patient_id", [str(n) for n in range(500)]),
        ("patient_id", [f"{n:08d}" for n in range(300)]),
        ("patient_id", [f"dcm-{random.Random(n).getrandbits(48):012x}" for n in range(500)]),
        ("patient_id", [str(100_000 + n) for n in range(300)]),
        ("patient_id", ["left lung", "right lung", "left kidney"]),
        ("patient_id", ["group a", "group b", "group c", "group d"]),
        ("site", ["North Clinic", "South Clinic"]),
        ("bytes", _RECORDS),
        ("score", ["0.123456", "0.9876543", "1.5"]),
        ("transfer_syntax", ["1.2.840.10008.1.2.4.90"]),
        ("dob", ["", "unknown"]),
        ("age", ["45", "60", "7"]),
        ("age_days", ["4500", "120"]),
        ("age", ["400", "300", "200", "120"]),
        ("sex", ["F", "M"]),
        ("finding", ["pleural effusion", "rib fracture", "lung nodule", "heart failure"]),
    ],
)  # fmt: skip
def test_an_ordinary_column_is_silent(name: str, values: list[str]) -> None:
    assert _letters(name, values) == []


def test_the_rows_concerned_are_told() -> None:
    (found,) = identities_in_column("note", ["fine", "jane@example.org", ""])
    assert found.rows == (1,)
