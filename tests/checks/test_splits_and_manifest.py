"""Manifest, files and record against each other."""

from pathlib import Path

import pytest

from medimg_cli.checks.splits_and_manifest import splits_and_manifest
from tests.checks.cohort import clean_cohort, with_info, with_measurements, with_rows


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
