"""Marks in the manifest: written down, taken back exactly, and nothing of an image's file touched."""

from pathlib import Path

import pytest

from medimg_cli.audit.decisions import Action, Decision, DecisionsInForce, append_decision, read_decisions
from medimg_cli.audit.exclusions import (
    Mark,
    Plan,
    apply_decisions,
    apply_marks,
    journal_path,
    plan_marks,
    read_journal,
    undo_marks,
)
from medimg_cli.dataset.manifest import Dataset, read_dataset, read_info
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import read_json
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import blank, bytes_of, cells_of, copies, doubted, rows_of, write_study

COPY = Mark(
    "sick/train-7", "label-audit", "exact-duplicates", "excluded", "label-audit: exact-duplicates: copy of x"
)


def decide(workspace: Workspace, image: str, action: Action, label: str = "", why: str = "") -> None:
    digest = "" if action == "undo" else str(rows_of(workspace).loc[image, "sha256"])
    append_decision(
        workspace, Decision(now(), "A. Reader", image, action, "label-errors", label, why, digest)
    )


def test_a_mark_excludes_a_row_with_its_reason_and_changes_nothing_else(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before, files = rows_of(workspace), bytes_of(workspace)
    assert apply_marks(workspace, [COPY]).marked == (COPY,)
    after = rows_of(workspace)
    assert cells_of(workspace, "sick/train-7", "status", "reason") == ["excluded", COPY.reason]
    others = after.drop(index="sick/train-7")
    assert others.equals(before.drop(index="sick/train-7"))
    changed = {Path(name).name for name, content in bytes_of(workspace).items() if files[name] != content}
    assert changed == {"manifest.csv", "dataset.json"}


def test_the_record_has_the_hash_of_the_manifest_as_it_is_now(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = read_info(workspace).content_hash
    apply_marks(workspace, [COPY])
    dataset = read_dataset(workspace)
    assert dataset.info.content_hash == dataset.content_hash() != before


def test_a_manifest_edited_by_hand_stays_known_as_edited(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    recorded = read_info(workspace).content_hash
    text = workspace.manifest_path.read_text()
    workspace.manifest_path.write_text(text.replace("sick/train-6,raw/sick", "sick/mine,raw/sick"))
    apply_marks(workspace, [COPY])
    assert read_info(workspace).content_hash == recorded


def test_undoing_gives_back_the_very_same_bytes_and_a_second_time_does_nothing(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = bytes_of(workspace)
    apply_marks(workspace, [COPY, Mark("healthy/val-12", "label-audit", "x", "excluded", "label-audit: x")])
    assert bytes_of(workspace) != before
    assert undo_marks(workspace).restored == ("sick/train-7", "healthy/val-12")
    assert bytes_of(workspace) == before
    assert undo_marks(workspace).restored == ()
    assert bytes_of(workspace) == before


def test_undoing_leaves_what_others_excluded_or_changed_since_alone(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    text = workspace.manifest_path.read_text()
    workspace.manifest_path.write_text(text.replace(",ok,,south", ",excluded,mine,south", 1))
    apply_marks(workspace, [COPY])
    workspace.manifest_path.write_text(
        workspace.manifest_path.read_text().replace(COPY.reason, "better reason")
    )
    change = undo_marks(workspace)
    assert (change.restored, change.left_alone) == ((), ("sick/train-7",))
    rows = rows_of(workspace)
    assert rows.loc["sick/train-7", "reason"] == "better reason"
    assert cells_of(workspace, "healthy/train-0", "status", "reason") == ["excluded", "mine"]


def test_a_row_that_is_excluded_already_keeps_its_reason(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    apply_marks(workspace, [COPY])
    again = apply_marks(workspace, [Mark("sick/train-7", "label-audit", "y", "excluded", "label-audit: y")])
    assert again.marked == ()
    assert rows_of(workspace).loc["sick/train-7", "reason"] == COPY.reason
    assert len(read_journal(workspace)) == 1


def test_a_class_is_never_emptied(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = bytes_of(workspace)
    sick = [image for image in rows_of(workspace).index if image.startswith("sick")]
    with pytest.raises(DataError, match="every image of 'sick'"):
        apply_marks(workspace, [Mark(image, "label-audit", "x", "excluded", "r") for image in sick])
    assert bytes_of(workspace) == before
    assert not journal_path(workspace).exists()


def test_decisions_exclude_and_relabel_and_the_source_s_label_is_kept_in_the_reason(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    decide(workspace, "sick/train-6", "exclude", why="lead in the lung")
    decide(workspace, "sick/train-7", "relabel", "healthy")
    decide(workspace, "sick/train-8", "keep")
    apply_decisions(workspace)
    assert cells_of(workspace, "sick/train-6", "label", "status", "reason") == [
        "sick",
        "excluded",
        "label-audit: review: excluded by A. Reader: lead in the lung",
    ]
    assert cells_of(workspace, "sick/train-7", "label", "status", "reason") == [
        "healthy",
        "ok",
        "label-audit: review: relabelled from sick by A. Reader",
    ]
    assert cells_of(workspace, "sick/train-8", "label", "status", "reason") == ["sick", "ok", ""]


def test_applying_twice_changes_nothing_more(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    decide(workspace, "sick/train-6", "exclude")
    decide(workspace, "sick/train-7", "relabel", "healthy")
    assert len(apply_decisions(workspace).marked) == 2
    before = bytes_of(workspace)
    assert apply_decisions(workspace) == apply_marks(workspace, [])
    assert bytes_of(workspace) == before


def test_a_decision_taken_back_or_changed_is_taken_back_in_the_manifest(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = bytes_of(workspace)
    decide(workspace, "sick/train-6", "exclude")
    decide(workspace, "sick/train-7", "relabel", "healthy")
    apply_decisions(workspace)
    decide(workspace, "sick/train-6", "undo")
    decide(workspace, "sick/train-7", "exclude")
    change = apply_decisions(workspace)
    assert set(change.restored) == {"sick/train-6", "sick/train-7"}
    rows = rows_of(workspace)
    assert rows.loc["sick/train-6", "status"] == "ok"
    assert cells_of(workspace, "sick/train-7", "label", "status") == ["sick", "excluded"]
    decide(workspace, "sick/train-7", "undo")
    decide(workspace, "sick/train-7", "undo")
    apply_decisions(workspace)
    assert bytes_of(workspace) == before


def test_undoing_takes_back_the_decisions_in_the_log_too(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = bytes_of(workspace)
    decide(workspace, "sick/train-6", "exclude")
    decide(workspace, "sick/train-8", "keep")
    apply_decisions(workspace)
    undo_marks(workspace)
    assert bytes_of(workspace) == before
    assert [line.action for line in read_decisions(workspace)] == ["exclude", "keep", "undo"]
    assert apply_decisions(workspace).marked == ()


def test_a_decision_on_other_pixels_is_not_applied(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    append_decision(workspace, Decision(now(), "A", "sick/train-6", "exclude", "x", sha256="other"))
    assert apply_decisions(workspace).marked == ()


def test_the_quarantine_and_the_other_facts_of_the_record_stay(tmp_path: Path) -> None:
    workspace = write_study(tmp_path)
    before = read_json(workspace.dataset_path)
    apply_marks(workspace, [COPY])
    after = read_json(workspace.dataset_path)
    assert {name for name in before if before[name] != after[name]} == {"content_hash", "written", "seal"}


NOBODY = DecisionsInForce([], {})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return read_dataset(write_study(tmp_path))


def excluded(plan: Plan) -> dict[str, str]:
    return {mark.image_id: mark.reason for mark in plan.marks}


def test_the_test_copy_stays_before_val_and_val_before_train(dataset: Dataset) -> None:
    plan = plan_marks(
        [copies(("sick/train-6", "sick/val-15", "sick/test-21"), ("healthy/val-12", "healthy/train-0"))],
        dataset,
        NOBODY,
    )
    assert excluded(plan) == {
        "sick/train-6": "label-audit: exact-duplicates: copy of sick/test-21",
        "sick/val-15": "label-audit: exact-duplicates: copy of sick/test-21",
        "healthy/train-0": "label-audit: exact-duplicates: copy of healthy/val-12",
    }


def test_within_a_split_a_known_patient_stays_then_the_lowest_id(dataset: Dataset) -> None:
    group = ("sick/train-11", "sick/train-10", "sick/train-9")
    assert set(excluded(plan_marks([copies(group)], dataset, NOBODY))) == {"sick/train-10", "sick/train-11"}
    nameless = dataset.rows.copy()
    nameless.loc[nameless["image_id"] == "sick/train-9", "patient_id"] = "sick/train-9"
    plan = plan_marks([copies(group)], Dataset(nameless, dataset.info), NOBODY)
    assert set(excluded(plan)) == {"sick/train-9", "sick/train-11"}


def test_copies_under_different_labels_are_left_for_a_reader(dataset: Dataset) -> None:
    plan = plan_marks([copies(("healthy/train-0", "sick/test-21"))], dataset, NOBODY)
    assert plan == Plan((), 1)


def test_what_goes_anyway_is_not_the_copy_that_stays(dataset: Dataset) -> None:
    plan = plan_marks([copies(("sick/train-6", "sick/test-21")), blank("sick/test-21")], dataset, NOBODY)
    assert excluded(plan) == {"sick/test-21": "label-audit: image-quality: every pixel is 0"}


def test_chained_groups_keep_one_image_of_the_whole_chain(dataset: Dataset) -> None:
    plan = plan_marks(
        [copies(("sick/train-6", "sick/train-7")), copies(("sick/train-7", "sick/train-8"))], dataset, NOBODY
    )
    assert set(excluded(plan)) == {"sick/train-7"}


def test_what_a_reviewer_kept_stays(dataset: Dataset) -> None:
    contents = dict(zip(dataset.rows["image_id"], dataset.rows["sha256"], strict=True))

    def keep(image: str, check: str) -> Decision:
        return Decision("", "A", image, "keep", check, sha256=contents[image])

    in_force = DecisionsInForce(
        [keep("sick/train-6", "exact-duplicates"), keep("sick/val-15", "image-quality")], contents
    )
    plan = plan_marks([copies(("sick/train-6", "sick/test-21")), blank("sick/val-15")], dataset, in_force)
    assert set(excluded(plan)) == {"sick/test-21"}


def test_a_finding_to_look_at_excludes_nothing(dataset: Dataset) -> None:
    assert plan_marks([doubted("sick/train-6")], dataset, NOBODY) == Plan((), 0)


def test_images_that_are_excluded_already_do_not_count_as_copies(dataset: Dataset) -> None:
    rows = dataset.rows.copy()
    rows.loc[rows["image_id"] == "sick/test-21", "status"] = "excluded"
    plan = plan_marks([copies(("sick/train-6", "sick/test-21"))], Dataset(rows, dataset.info), NOBODY)
    assert plan.marks == ()
