"""Facts from people: the questions, and the answers as they are read back."""

from pathlib import Path

import pytest
import yaml

from medimg_cli.errors import UsageError
from medimg_cli.reporting.study_facts import (
    GROUPS,
    QUESTIONS,
    Facts,
    read_facts,
    reason_not_applicable,
    write_questions,
)


def _facts(tmp_path: Path, text: str) -> Facts:
    path = tmp_path / "report.yaml"
    path.write_text(text, encoding="utf-8")
    return read_facts(path)


def test_the_questions_are_yaml_that_reads_back_as_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "report.yaml"
    write_questions(path)
    assert read_facts(path) == Facts()
    text = path.read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)) == list(GROUPS)
    for key, field in QUESTIONS.items():
        assert f"  # {field.title}: {field.description}\n  {key}:\n" in text


def test_questions_that_stand_there_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "report.yaml"
    path.write_text("purpose: {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        write_questions(path)
    assert path.read_text(encoding="utf-8") == "purpose: {}\n"


def test_no_key_stands_in_two_groups() -> None:
    assert len(QUESTIONS) == sum(len(group.model_fields) for group in GROUPS.values())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2019-03-01", "2019-03-01"),
        ("3", "3"),
        ("no", "no"),
        ("[first, second]", "first; second"),
        ("|\n    one\n    two\n", "one\ntwo"),
        ("''", None),
        ("Not reported", None),
        ("", None),
    ],
)
def test_what_yaml_makes_of_a_bare_word_is_read_as_text(
    tmp_path: Path, written: str, read: str | None
) -> None:
    assert _facts(tmp_path, f"data:\n  series: {written}\n").data.series == read


def test_every_answer_is_found_by_its_key_alone(tmp_path: Path) -> None:
    answers = _facts(tmp_path, "openness: {funding: A fund}\nstudy:\n").answers
    assert answers["funding"] == "A fund"
    assert set(answers) == set(QUESTIONS)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("purpose: {intended_usage: x}", "nobody asks for 'purpose.intended_usage'", "'intended_use'"),
        ("purposes: {}", "nobody asks for 'purposes'", "'purpose'"),
        ("purpose: {funding: x}", "'purpose.funding' is not asked there", "below 'openness:'"),
        ("purpose: {intended_use: {a: 1}}", "'purpose.intended_use' cannot be", "as text"),
        ("purpose: yes", "'purpose' cannot be True", "as text"),
        ("- a", "holds no answers", "--init-facts"),
        ("purpose:\n  intended_use: a: b", "not valid YAML at line 2", "quotation marks"),
    ],
)
def test_a_slip_in_the_file_is_told_with_what_to_do(tmp_path: Path, text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _facts(tmp_path, text)
    assert what in caught.value.what and "report.yaml" in caught.value.what
    assert hint in caught.value.hint


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_facts(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("n.a.: retrospective", "retrospective"),
        ("N/A", ""),
        ("n. a. (no trial)", "no trial"),
        ("Not applicable, as no patient was treated", "as no patient was treated"),
        ("national register 123", None),
        ("none", None),
    ],
)
def test_an_answer_may_say_that_a_question_does_not_apply(answer: str, reason: str | None) -> None:
    assert reason_not_applicable(answer) == reason
