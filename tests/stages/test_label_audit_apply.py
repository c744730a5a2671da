"""From findings to marks in the manifest, through the front door, and what the next commands make of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.audit.decisions import Action, Decision, append_decision
from medimg_cli.audit.exclusions import apply_decisions
from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import bytes_of, cells_of, rows_of
from tests.conftest import draw_cohort, medimg
from tests.stages.ingest_again import draw

CHECKS = "exact-duplicates,splits-and-manifest"


@pytest.fixture
def study(tmp_path: Path) -> Workspace:
    """Ingest 60 images, one of them copied within its class and one into the other class."""
    raw = draw_cohort(tmp_path / "raw")
    shutil.copyfile(raw / "SPOT" / "patient001_0.png", raw / "SPOT" / "patient001_2.png")
    shutil.copyfile(raw / "SPOT" / "patient003_0.png", raw / "CLEAR" / "patient003_9.png")
    ingest = ("ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert medimg(tmp_path, *ingest) == 0
    return Workspace(tmp_path)


def audit(study: Workspace, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["label-audit", "-C", str(study.root), "--checks", CHECKS, "--json", "--quiet", *options])
    return code, json.loads(capsys.readouterr().out)


def test_apply_excludes_one_copy_leaves_the_conflict_to_a_reader_and_audits_what_is_left(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = audit(study, capsys, "--apply")
    assert code == 1
    assert told["applied"] == [
        {
            "image_id": "SPOT/patient001_2.png",
            "check": "exact-duplicates",
            "reason": "label-audit: exact-duplicates: copy of SPOT/patient001_0.png",
        }
    ]
    assert [finding["severity"] for finding in told["findings"]] == ["error"]
    assert "label conflict" in told["findings"][0]["message"]
    excluded = rows_of(study).query("status == 'excluded'")
    assert list(excluded.index) == ["SPOT/patient001_2.png"]


def test_the_manifest_is_not_called_edited_after_apply(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = audit(study, capsys, "--apply")
    assert {finding["check"] for finding in told["findings"]} == {"exact-duplicates"}


def test_a_second_apply_has_nothing_to_do_and_undo_gives_everything_back(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bytes_of(study)
    audit(study, capsys, "--apply")
    applied = bytes_of(study)
    assert audit(study, capsys, "--apply")[1]["applied"] == []
    assert bytes_of(study) == applied
    assert audit(study, capsys, "--undo") == (0, audit_undone(["SPOT/patient001_2.png"]))
    assert bytes_of(study) == before
    assert audit(study, capsys, "--undo") == (0, audit_undone([]))


def audit_undone(image_ids: list[str]) -> dict[str, Any]:
    return {"schema": 1, "command": "label-audit", "undone": image_ids, "left_alone": []}


def test_the_terminal_tells_what_was_done_and_how_to_take_it_back(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["label-audit", "-C", str(study.root), "--checks", CHECKS, "--apply", "-q"])
    out = capsys.readouterr().out
    assert "1 rows marked by --apply" in out
    assert "copy of SPOT/patient001_0.png" in out
    assert "--undo takes it back" in out
    assert f"page: {study.audit_dir / 'audit.html'}" in out


@pytest.mark.parametrize("other", ["--apply", "--review"])
def test_undo_beside_its_contrary_is_refused(other: str, study: Workspace) -> None:
    assert medimg(study.root, "label-audit", "--undo", other) == 2


def decide(study: Workspace, image: str, action: Action, check: str, label: str = "") -> None:
    digest = str(rows_of(study).loc[image, "sha256"])
    append_decision(study, Decision(now(), "A. Reader", image, action, check, label, "seen", digest))


def test_ingesting_again_keeps_exclusions_and_labels_that_were_given(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(study, capsys, "--apply")
    decide(study, "CLEAR/patient003_9.png", "relabel", "exact-duplicates", "SPOT")
    decide(study, "CLEAR/patient000_0.png", "exclude", "exact-duplicates")
    apply_decisions(study)
    before = rows_of(study)[["label", "split", "status", "reason"]]
    draw(study.root / "raw" / "CLEAR" / "patient040_0.png", 40)
    assert medimg(study.root, "ingest", str(study.root / "raw")) == 0
    after = rows_of(study)[["label", "split", "status", "reason"]]
    assert "CLEAR/patient040_0.png" in after.index
    assert after.loc[before.index].equals(before)
    assert medimg(study.root, "label-audit", "--undo") == 0
    assert set(rows_of(study)["status"]) == {"ok"}
    assert rows_of(study).loc["CLEAR/patient003_9.png", "label"] == "CLEAR"


def test_what_is_excluded_is_neither_trained_on_nor_audited(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(study, capsys, "--apply")
    assert "SPOT/patient001_2.png" not in set(read_dataset(study).usable["image_id"])
    _, told = audit(study, capsys)
    assert not any("SPOT/patient001_2.png" in finding["image_ids"] for finding in told["findings"])


def test_a_finding_that_a_reviewer_kept_whole_weighs_less_and_says_who(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in ("SPOT/patient003_0.png", "CLEAR/patient003_9.png"):
        decide(study, image, "keep", "exact-duplicates")
    code, told = audit(study, capsys)
    conflict = next(finding for finding in told["findings"] if "conflict" in finding["message"])
    assert (code, conflict["severity"]) == (0, "warning")
    assert conflict["reviewed"] == "2 of 2 images reviewed by A. Reader: 2 kept"
    page = (study.audit_dir / "audit.html").read_text()
    assert "kept by A. Reader: seen" in page


def test_a_decision_on_pixels_that_changed_since_is_asked_again(study: Workspace) -> None:
    decide(study, "CLEAR/patient000_0.png", "exclude", "exact-duplicates")
    apply_decisions(study)
    draw(study.root / "raw" / "CLEAR" / "patient000_0.png", 77)
    assert medimg(study.root, "ingest", str(study.root / "raw")) == 0
    assert cells_of(study, "CLEAR/patient000_0.png", "status", "reason") == ["ok", ""]
    assert apply_decisions(study).marked == ()
