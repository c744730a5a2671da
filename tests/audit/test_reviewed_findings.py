"""A finding that somebody answered weighs less, and still says so."""

import pytest

from medimg_cli.audit.decisions import Action, Decision, Standing
from medimg_cli.audit.findings import Severity
from medimg_cli.audit.reviewed_findings import weigh
from tests.audit.audit_cohort import copies, doubted

CONTENTS = {"a": "1", "b": "2"}


def line(image: str, action: Action, check: str = "label-errors", who: str = "A. Reader") -> Decision:
    return Decision("", who, image, action, check, sha256=CONTENTS[image])


def test_without_a_decision_nothing_changes() -> None:
    finding = doubted("a", "b")
    assert weigh([finding], Standing([], CONTENTS)) == (finding,)


def test_a_finding_whose_images_are_all_kept_weighs_one_step_less_and_names_the_reviewers() -> None:
    standing = Standing([line("a", "keep"), line("b", "keep", who="B. Reader")], CONTENTS)
    (found,) = weigh([doubted("a", "b")], standing)
    assert found.severity == "info"
    assert found.reviewed == "2 of 2 images reviewed by A. Reader, B. Reader: 2 kept"


@pytest.mark.parametrize(
    "lines",
    [
        [line("a", "keep")],
        [line("a", "keep"), line("b", "exclude")],
        [line("a", "keep"), line("b", "keep", "x")],
    ],
)
def test_a_finding_that_is_not_kept_whole_weighs_what_it_did(lines: list[Decision]) -> None:
    (found,) = weigh([doubted("a", "b")], Standing(lines, CONTENTS))
    assert found.severity == "warning"
    assert found.reviewed


def test_an_error_that_is_kept_is_still_a_warning() -> None:
    check = "exact-duplicates"
    standing = Standing([line("a", "keep", check), line("b", "keep", check)], CONTENTS)
    expected: Severity = "warning"
    assert [found.severity for found in weigh([copies(("a", "b"))], standing)] == [expected]
