"""What an audit leaves on disk, and when it says no."""

from pathlib import Path

import pytest

from medimg_cli.audit.decisions import Action, Decision, DecisionsInForce
from medimg_cli.audit.findings import (
    AuditResult,
    Finding,
    Severity,
    SkippedCheck,
    is_failing,
    read_audit,
    weigh,
    write_audit,
)
from medimg_cli.workspace.tables import read_table
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import copies, doubted

ERROR = Finding(
    "leak",
    "error",
    "1 patient in train and test",
    "split again",
    ("a", "b"),
    1,
    (("a", "b"),),
    {"a": "kept"},
    "keep-one",
)
WARNING = Finding("blank", "warning", "1 image of one value", "exclude it", ("c",), 1)
INFO = Finding("dates", "info", "1 header holds dates", "shift them", (), 1)


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [("error", [ERROR]), ("warning", [ERROR, WARNING]), ("never", [])],
)
def test_only_findings_at_or_above_the_wanted_severity_fail(fail_on: str, failing: list[Finding]) -> None:
    assert [finding for finding in (ERROR, WARNING, INFO) if is_failing([finding], fail_on)] == failing
    assert not is_failing([], fail_on)


def test_an_audit_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    skipped = (SkippedCheck("dicom-headers", "no DICOM file in the data set"),)
    result = AuditResult(
        (ERROR, WARNING, INFO),
        False,
        ("leak", "blank", "dates"),
        skipped,
        "abc",
        {"leak": "2 patients compared"},
    )
    write_audit(workspace, result)
    assert read_audit(workspace) == result
    table = read_table(workspace.audit_dir / "findings.csv")
    assert list(table["image_ids"]) == ["a|b", "c", ""]
    assert list(table["severity"]) == ["error", "warning", "info"]


def test_without_an_audit_there_is_none_to_read(tmp_path: Path) -> None:
    assert read_audit(Workspace(tmp_path)) is None


def test_an_audit_without_findings_still_writes_the_columns(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_audit(workspace, AuditResult((), True, ("leak",), (), "abc"))
    assert list(read_table(workspace.audit_dir / "findings.csv").columns) == [
        "check",
        "severity",
        "message",
        "advice",
        "image_ids",
        "count",
        "remedy",
    ]


CONTENTS = {"a": "1", "b": "2"}


def line(image: str, action: Action, check: str = "label-errors", who: str = "A. Reader") -> Decision:
    return Decision("", who, image, action, check, sha256=CONTENTS[image])


def test_without_a_decision_nothing_changes() -> None:
    finding = doubted("a", "b")
    assert weigh([finding], DecisionsInForce([], CONTENTS)) == (finding,)


def test_a_finding_whose_images_are_all_kept_weighs_one_step_less_and_names_the_reviewers() -> None:
    in_force = DecisionsInForce([line("a", "keep"), line("b", "keep", who="B. Reader")], CONTENTS)
    (found,) = weigh([doubted("a", "b")], in_force)
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
    (found,) = weigh([doubted("a", "b")], DecisionsInForce(lines, CONTENTS))
    assert found.severity == "warning"
    assert found.reviewed


def test_an_error_that_is_kept_is_still_a_warning() -> None:
    check = "exact-duplicates"
    in_force = DecisionsInForce([line("a", "keep", check), line("b", "keep", check)], CONTENTS)
    expected: Severity = "warning"
    assert [found.severity for found in weigh([copies(("a", "b"))], in_force)] == [expected]
