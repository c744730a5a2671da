"""Manifest, files and record against each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from medimg_cli.audit.checks.splits_and_manifest import splits_and_manifest
from medimg_cli.audit.findings import AuditContext
from medimg_cli.dataset.manifest import Dataset, Origin
from tests.audit.checks.cohort import clean_cohort, with_info, with_measurements, with_rows


def test_a_vanished_file_is_an_error(tmp_path: Path) -> None:
    context = with_measurements(clean_cohort(tmp_path), ["val-sick-001"], readable=False, sha256="")
    (finding,) = splits_and_manifest(context).findings
    assert (finding.severity, finding.image_ids) == ("error", ("val-sick-001",))
    assert "without its file" in finding.message


def test_a_file_with_other_content_is_an_error(tmp_path: Path) -> None:
    context = with_measurements(clean_cohort(tmp_path), ["val-sick-001"], sha256="0" * 64)
    (finding,) = splits_and_manifest(context).findings
    assert (finding.severity, finding.image_ids) == ("error", ("val-sick-001",))
    assert "not the one that was ingested" in finding.message


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("split", "holdout", "in no split (known: train, val, test)"),
        ("label", "sik", "with a label that is no class"),
        ("patient_id", "", "without a patient: they count as images of one and the same"),
    ],
)
def test_a_cell_that_means_nothing_is_an_error(column: str, value: str, words: str, tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["val-sick-001"], **{column: value})
    (finding,) = splits_and_manifest(context).findings
    assert (finding.severity, finding.image_ids) == ("error", ("val-sick-001",))
    assert finding.message == f"1 row {words}"


def test_an_image_id_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["val-sick-002"], image_id="val-sick-001")
    (finding,) = splits_and_manifest(context).findings
    assert (finding.severity, finding.count) == ("error", 2)


def test_a_manifest_edited_after_ingest_is_told(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    recorded = with_info(context, content_hash=context.dataset.content_hash())
    assert splits_and_manifest(recorded).findings == ()
    edited = with_rows(recorded, ["val-sick-001"], label="healthy")
    (finding,) = splits_and_manifest(edited).findings
    assert finding.severity == "info"
    assert "edited after ingest" in finding.message


def test_a_status_that_means_nothing_is_an_error(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["val-sick-001"], status="exclude")
    (finding,) = splits_and_manifest(context).findings
    assert (finding.severity, finding.image_ids) == ("error", ("val-sick-001",))
    assert "with a status that means nothing (known: ok, excluded)" in finding.message


def _official(root: Path, val: str = "val") -> AuditContext:
    """Return the cohort as if its source had come in folders train, test and `val`."""
    context = clean_cohort(root)
    names = {
        image: f"{val if image.startswith('val') else image.split('-')[0]}/{image}"
        for image in map(str, context.dataset.rows["image_id"])
    }
    rows = context.dataset.rows.assign(image_id=context.dataset.rows["image_id"].map(names))
    origin = Origin(path="raw", prefix="", reading={"layout": "folders"})
    info = context.dataset.info.model_copy(
        update={"splits_given": True, "split_origin": "official", "origins": (origin,)}
    )
    measurements = context.measurements.rename(index=names)
    return replace(context, dataset=Dataset(rows, info), measurements=measurements)


def test_an_official_split_that_is_respected_is_told_and_no_finding(tmp_path: Path) -> None:
    checked = splits_and_manifest(_official(tmp_path))
    assert checked.findings == ()
    assert checked.did == (
        "108 rows compared with their files and the record, 108 of them with the official split of their source"
    )


def test_an_image_moved_out_of_its_official_split_is_an_error(tmp_path: Path) -> None:
    moved = ["test/test-sick-001", "test/test-sick-002", "val/val-sick-000"]
    (finding,) = splits_and_manifest(with_rows(_official(tmp_path), moved, split="train")).findings
    assert (finding.severity, set(finding.image_ids)) == ("error", set(moved))
    assert finding.message.endswith("(test to train: 2, val to train: 1)")


def test_val_cut_from_an_official_train_respects_the_split(tmp_path: Path) -> None:
    context = _official(tmp_path, val="train")
    assert splits_and_manifest(context).findings == ()
    moved = with_rows(context, ["train/train-sick-000"], split="test")
    assert [finding.count for finding in splits_and_manifest(moved).findings] == [1]


def test_a_split_that_medimg_drew_is_not_held_against_folder_names(tmp_path: Path) -> None:
    drawn = with_info(_official(tmp_path), splits_given=False)
    assert splits_and_manifest(with_rows(drawn, ["test/test-sick-001"], split="train")).findings == ()
