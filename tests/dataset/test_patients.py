"""Who an image belongs to."""

import re

import pytest

from medimg_cli.dataset.patients import patient_in_path, patient_pattern, pseudonym
from medimg_cli.errors import UsageError


def test_the_first_group_is_the_patient() -> None:
    pattern = patient_pattern(r"(person\d+)_")
    assert patient_in_path("test/SICK/person7_virus.png", pattern) == "person7"
    assert patient_in_path("test/SICK/IM-7.png", pattern) is None
    assert patient_in_path("x", re.compile("x(y)?")) is None


@pytest.mark.parametrize("text", ["(p", "p+", "(?:p)"])
def test_a_pattern_without_a_group_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--patient-regex"):
        patient_pattern(text)


def test_a_pseudonym_is_the_same_for_the_same_patient_and_does_not_show_the_id() -> None:
    assert pseudonym("MRN-1") == pseudonym("MRN-1") != pseudonym("MRN-2")
    assert re.fullmatch(r"dcm-[0-9a-f]{12}", str(pseudonym("MRN-1")))
    assert pseudonym("") is None
