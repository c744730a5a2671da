"""Identities by their form, in names of files and folders."""

import time
from itertools import pairwise

import pytest

from medimg_cli.privacy.forms.names import SAFE_HARBOR, find_identities, is_placeholder, own_part


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
        ("12Mar2021.png", "date"),
        ("scan_12-mar-2021_2.png", "date"),
        ("3. März 2021", "date"),
        ("2021Mar12", "date"),
        ("Oct 7, 1999", "date"),
        ("2021/03/12/left.png", "date"),
        ("2021_03_12.png", "date"),
        ("born 12.03.80", "date"),
        ("12/03/2021", "date"),
        ("img_471123.png", "record-number"),
        ("A1234567/left.png", "record-number"),
        ("0712345.png", "record-number"),
        ("tel_044-123-4567.png", "phone"),
        ("+41 44 123 45 67", "phone"),
        ("555-234-5678.png", "phone"),
        ("(555) 234-5678", "phone"),
        ("call_555-234-5678_2.png", "phone"),
        ("fax 044 123 45 67", "fax"),
        ("from_192.168.1.20.png", "ip-address"),
        ("ip 81.2.69.142", "ip-address"),
        ("see https://clinic.example/p/7", "url"),
        ("www.example.org", "url"),
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
        "12.03.80.png",
        "marker21.png",
        "12marks2021x.png",
        "31Feb2021.png",
        "v10.2.3.4.5.png",
        "81.2.69.142.png",
        "dcm-123456789012",
        "3f9a123456b7.png",
        "000c1434d8d7.png",
        "216840111366964012283393834152009033140208626_00-059-118.png",
        "mean_0.1234567.png",
        "image_000123.png",
        "00000013_005.png",
        "patient64740/study1/view1_frontal.jpg",
        "001-123-4567.png",
        "tele.png",
    ],
)
def test_a_plain_name_is_silent(text: str) -> None:
    assert _kinds(text) == []


@pytest.mark.parametrize(
    "sign", ["A", "A.", "1", "1a", "1.", "^", "A^", "é", "a@", "jan", "1-", "mrn1", "+1", "tel 1"]
)
def test_a_long_text_takes_no_longer_than_its_length_asks_for(sign: str) -> None:
    begin = time.process_time()
    find_identities(sign * (200_000 // len(sign)))
    assert time.process_time() - begin < 30


def test_a_path_is_seen_from_its_source_on() -> None:
    assert own_part("/home/roe/raw/a/1.png", ("/home/roe", "/home/roe/raw")) == "a/1.png"
    assert own_part("/home/roe/1.png", ("/data",)) == "1.png"
    assert own_part("raw/a/1.png", ()) == "raw/a/1.png"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Anonymous", True), ("ANON^PATIENT", True), ("", True), ("N/A", True), ("Doe", False), ("Nona", False)],
)
def test_a_placeholder_is_told_from_a_name(text: str, expected: bool) -> None:
    assert is_placeholder(text) is expected


def test_several_identities_come_in_order_and_never_overlap() -> None:
    found = find_identities("DOE^JANE/20210203/mrn123456_1.2.840.113619.2.55.3.dcm")
    assert [identity.kind for identity in found] == ["name", "date", "marked-number", "uid"]
    assert all(left.end <= right.start for left, right in pairwise(found))
