"""Who an image belongs to."""

import re
import signal
from pathlib import Path

import pytest

from medimg_cli.dataset.patients import patient_pattern, pseudonym, searched
from medimg_cli.errors import UsageError
from tests.stages.ingest_cohort import cohort, run


def test_a_pattern_is_searched_in_every_path() -> None:
    pattern = patient_pattern(r"(person\d+)_")
    one, none = searched(pattern, ["test/SICK/person7_virus.png", "test/SICK/IM-7.png"], "--patient-regex")
    assert (one and one[1], none) == ("person7", None)


def test_a_system_without_such_a_clock_searches_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    (found,) = searched(patient_pattern(r"(p\d+)"), ["p7_1.png"], "--patient-regex")
    assert found is not None and found[1] == "p7"


@pytest.mark.parametrize("text", [r"((?:a+)+)$", r"(a*)*b", r"((a|aa)+)c"])
def test_a_pattern_that_takes_for_ever_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medimg_cli.dataset.patients._SECONDS", 0.05)
    with pytest.raises(UsageError, match=f"--patient-regex .* takes too long to search, as in '{'a' * 50}!'"):
        searched(patient_pattern(text), ["x", "a" * 50 + "!"], "--patient-regex")


@pytest.mark.parametrize("text", ["(p", "p+", "(?:p)"])
def test_a_pattern_without_a_group_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--patient-regex"):
        patient_pattern(text)


def test_a_pattern_that_finds_nobody_is_said(tmp_path: Path) -> None:
    said = r"--patient-regex 'case(\d+)' finds nobody in 24 paths, such as 'SICK/p01_a.png'"
    result, _ = run(tmp_path, cohort(tmp_path / "raw"), patient_regex=r"case(\d+)")
    assert said in result.notes
    result, _ = run(tmp_path, cohort(tmp_path / "raw"), patient_regex=r"(p\d+)", fresh=True)
    assert not any("finds nobody" in note for note in result.notes)


def test_a_pseudonym_is_the_same_for_the_same_patient_and_does_not_show_the_id() -> None:
    assert pseudonym("MRN-1") == pseudonym("MRN-1") != pseudonym("MRN-2")
    assert re.fullmatch(r"dcm-[0-9a-f]{12}", str(pseudonym("MRN-1")))
    assert pseudonym("") is None
