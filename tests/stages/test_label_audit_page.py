"""What an audit leaves behind: the page, the table of images, and the findings of others when a check breaks."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.audit.checks import CHECKS, CheckEntry
from medimg_cli.audit.findings import AuditContext, Checked, Finding, read_audit
from medimg_cli.cli.app import run
from medimg_cli.errors import MachineError
from medimg_cli.stages import label_audit as stage
from medimg_cli.stages.label_audit import label_audit
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.tables import read_table
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import copies, write_study

ASKED = LabelAuditSettings(checks=("exact-duplicates", "splits-and-manifest"))


@pytest.fixture
def study(tmp_path: Path) -> Workspace:
    workspace = write_study(tmp_path)
    shutil.copyfile(tmp_path / "raw/sick/train-6.png", tmp_path / "raw/sick/train-7.png")
    return workspace


def _replace(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Have a check stop with an error."""
    whole = CHECKS.get(name)

    def broken(context: AuditContext) -> Checked:  # noqa: ARG001 -- a check's parameter has this name
        raise error

    chosen = stage._choose

    def choose(settings: LabelAuditSettings) -> object:
        entries, left_out = chosen(settings)
        return [
            CheckEntry(name, whole.about, broken) if entry.name == name else entry for entry in entries
        ], left_out

    monkeypatch.setattr(stage, "_choose", choose)


def test_the_page_is_written_where_it_is_asked_for(study: Workspace, tmp_path: Path) -> None:
    label_audit(study, ASKED)
    assert (study.audit_dir / "audit.html").is_file()
    label_audit(study, ASKED.model_copy(update={"html": tmp_path / "other" / "a.html"}))
    assert (tmp_path / "other" / "a.html").read_text().startswith("<!doctype html>")


def test_the_same_data_give_the_same_bytes(study: Workspace) -> None:
    label_audit(study, ASKED)
    names = ("audit.html", "audit.json", "findings.csv", "images.csv")
    first = {name: (study.audit_dir / name).read_bytes() for name in names}
    label_audit(study, ASKED)
    assert {name: (study.audit_dir / name).read_bytes() for name in names} == first


def test_every_image_of_every_finding_has_a_row(study: Workspace) -> None:
    result = label_audit(study, ASKED)
    table = read_table(study.audit_dir / "images.csv")
    assert len(table) == sum(len(set(finding.image_ids)) for finding in result.findings)
    copied = table[table["check"] == "exact-duplicates"]
    assert copied[["image_id", "group", "label", "split", "patient_id"]].to_numpy().tolist() == [
        ["sick/train-6", "1", "sick", "train", "p6"],
        ["sick/train-7", "1", "sick", "train", "p7"],
    ]
    assert set(table["finding"]) == {str(number) for number in range(1, len(result.findings) + 1)}


def test_identities_in_paths_and_patients_are_masked_in_the_table(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    (tmp_path / "raw/sick/train-6.png").rename(tmp_path / "raw/sick/DOE^JANE.png")
    text = workspace.manifest_path.read_text()
    text = text.replace("raw/sick/train-6.png,sick,p6", "raw/sick/DOE^JANE.png,sick,MRN 12345678")
    workspace.manifest_path.write_text(text)
    label_audit(workspace, LabelAuditSettings(checks=("file-names",)))
    row = read_table(workspace.audit_dir / "images.csv").iloc[0]
    assert (row["path"], row["patient_id"]) == ("raw/sick/xxx^xxxx.png", "xxx ########")


def test_a_check_that_breaks_loses_nobody_elses_findings_but_the_audit_has_not_passed(
    study: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace(monkeypatch, "splits-and-manifest", KeyError("no DOE^JANE"))
    result = label_audit(study, ASKED.model_copy(update={"fail_on": "never"}))
    assert [finding.check for finding in result.findings] == ["exact-duplicates"]
    assert not result.passed
    (failed,) = result.failed
    assert (failed.check, failed.why) == ("splits-and-manifest", "failed: KeyError: 'no xxx^xxxx'")
    assert read_audit(study) == result
    assert "not complete" in (study.audit_dir / "audit.html").read_text()


def test_a_check_that_breaks_is_a_bug_and_the_command_says_so_after_the_findings(
    study: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _replace(monkeypatch, "splits-and-manifest", KeyError("x"))
    code = run(["label-audit", "-C", str(study.root), "--checks", ",".join(ASKED.checks), "-q"])
    told = capsys.readouterr()
    assert code == 70
    assert "exact-duplicates" in told.out
    assert "a bug in medimg" in told.err and "splits-and-manifest" in told.err


def test_with_debugging_the_error_comes_up_at_once(study: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace(monkeypatch, "splits-and-manifest", KeyError("x"))
    monkeypatch.setenv("MEDIMG_DEBUG", "1")
    with pytest.raises(KeyError):
        label_audit(study, ASKED)


def test_an_error_the_user_can_mend_is_passed_on(study: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace(monkeypatch, "splits-and-manifest", MachineError("no weights", "give --weights"))
    with pytest.raises(MachineError, match="no weights"):
        label_audit(study, ASKED)


def test_checks_get_the_network_and_images_are_searched_for_text(study: Workspace) -> None:
    seen: list[object] = []

    def embed(_: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        raise AssertionError

    def look(context: AuditContext) -> Checked:
        seen.extend([context.embed, set(context.measurements["text_regions"])])
        return Checked((copies(("sick/train-6", "sick/train-7")),), "all images")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_choose", lambda _: ([CheckEntry("x", "y", look)], []))
        label_audit(study, ASKED, embed=embed, find_text=lambda image: f"{image.width}")
    assert seen == [embed, {"32"}]


class Listener(SilentProgress):
    """Remembers which tasks are open at the same time."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.open = 0
        self.most = 0

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002 -- as `Progress` has it
        self.tasks.append(task)
        self.open += 1
        self.most = max(self.most, self.open)

    def finish(self) -> None:
        self.open -= 1


def test_every_check_is_named_while_it_runs_and_no_two_bars_are_open(study: Workspace) -> None:
    listener = Listener()

    def busy(context: AuditContext) -> Checked:
        context.progress.start("comparing", 2)
        context.progress.finish()
        return Checked((), "did")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_choose", lambda _: ([CheckEntry("busy", "y", busy)], []))
        label_audit(study, ASKED, listener)
    assert listener.tasks[1:4] == [
        "check 1 of 1, busy",
        "check 1 of 1, busy: comparing",
        "check 1 of 1, busy",
    ]
    assert (listener.open, listener.most) == (0, 1)


def test_a_finding_about_no_image_needs_no_picture(study: Workspace) -> None:
    found = Finding("x", "info", "few patients", "collect more", (), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            stage, "_choose", lambda _: ([CheckEntry("x", "y", lambda _: Checked((found,), "did"))], [])
        )
        label_audit(study, ASKED)
    assert "Few patients." in (study.audit_dir / "audit.html").read_text()
