"""Identities by their form, in names of files and folders."""

from itertools import pairwise

import pytest

from medimg_cli.privacy.names import SAFE_HARBOR, find_identities


def _kinds(text: str) -> list[str]:
    return [identity.kind for identity in find_identities(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2021-02-03.png", "date"),
        ("scan_20210203_1.png", "date"),
        ("20210203120000.dcm", "date"),
        ("03.02.2021/a.png", "date"),
        ("2-28-1999.png", "date"),
        ("DOE^JANE.dcm", "name"),
        ("MÜLLER^JÜRGEN^^Dr.dcm", "name"),
        ("patient_name-Smith.png", "name"),
        ("mrn123456.png", "marked-number"),
        ("MRN-0012345_2.png", "marked-number"),
        ("ssn_123-45-6789", "marked-number"),
        ("dob1980.02.03", "marked-number"),
        ("123-45-6789.png", "social-security-number"),
        ("48151623.png", "record-number"),
        ("jane.doe@example.org.png", "e-mail"),
        ("1.2.840.113619.2.55.3.dcm", "uid"),
    ],
)
def test_an_identity_is_found(text: str, kind: str) -> None:
    assert _kinds(text) == [kind]
    assert kind in SAFE_HARBOR


@pytest.mark.parametrize(
    "text",
    [
        "PNEUMONIA/person1074_bacteria_3012.jpeg",
        "NORMAL/IM-0115-0001.jpeg",
        "NORMAL/NORMAL2-IM-1419-0001.jpeg",
        "benign (433).png",
        "train/4707",
        "00030805_000.png",
        "ISIC_0024306.jpg",
        "2021-02-30.png",
        "2021.png",
        "13.13.2021.png",
        "v1.2.3.4.png",
        "sdoba1234.png",
        "9f86d081884c7d659a2feaa0c55ad015.png",
        "12345678-1234-4321-8765-123456789012.png",
        "02aa804e-bde0afdd-11223344-16630123-dfeb9d2a.jpg",
    ],
)
def test_a_plain_name_is_silent(text: str) -> None:
    assert _kinds(text) == []


def test_several_identities_come_in_order_and_never_overlap() -> None:
    found = find_identities("DOE^JANE/20210203/mrn123456_1.2.840.113619.2.55.3.dcm")
    assert [identity.kind for identity in found] == ["name", "date", "marked-number", "uid"]
    assert all(left.end <= right.start for left, right in pairwise(found))
