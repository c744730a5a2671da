"""Files that are no images, classes of them, and options that do not fit: a row or one line."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_quarantine
from medimg_cli.workspace.workspace import Workspace
from tests.stages.bad_input import Ingest, classes, draw


def test_bytes_that_are_no_image_are_rows_and_strict_says_so(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    stream = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(stream, "PNG")
    (raw / "SICK" / "cut.png").write_bytes(stream.getvalue()[:60])
    (raw / "SICK" / "empty.png").write_bytes(b"")
    (raw / "SICK" / "text.png").write_text("not a picture")
    outcome = ingest(raw, "--strict")
    assert outcome.code == 4
    assert set(outcome.reasons) == {"cut.png", "empty.png", "text.png"}


def test_a_folder_without_any_image_is_no_class_and_it_is_said(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    (raw / "docs").mkdir()
    (raw / "docs" / "LICENSE.txt").write_text("as you like")
    outcome = ingest(raw)
    assert (outcome.code, list(outcome.result["classes"])) == (0, ["SICK", "WELL"])
    assert list(outcome.reasons) == ["LICENSE.txt"]
    assert "warning: no class, as none of its files is an image: docs" in outcome.errors
    assert ingest(raw).result["reused"] == 12


def test_a_single_class_beside_a_folder_of_texts_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    draw(tmp_path / "raw" / "SICK" / "a.png", 1)
    (tmp_path / "raw" / "docs").mkdir()
    (tmp_path / "raw" / "docs" / "LICENSE.txt").write_text("as you like")
    outcome = ingest(tmp_path / "raw")
    assert (outcome.code, outcome.error) == (3, "only one class has images: 'SICK'")


def test_a_class_of_damaged_images_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    (raw / "ODD").mkdir()
    (raw / "ODD" / "x.png").write_bytes((raw / "SICK" / "p1_a.png").read_bytes()[:50])
    outcome = ingest(raw)
    assert (outcome.code, outcome.error) == (3, "class 'ODD' has no readable image")


def test_the_real_dicom_files_are_ingested_and_each_other_file_is_a_row(
    tmp_path: Path, ingest: Ingest, shared_data: Path
) -> None:
    asked = ingest(shared_data / "dicom")
    assert (asked.code, "where are the labels?" in asked.error) == (2, True)
    outcome = ingest(shared_data / "dicom", "--yes")
    rows = read_quarantine(Workspace(tmp_path / "study"))
    files = [path for path in (shared_data / "dicom").rglob("*") if path.is_file() and path.name[0] != "."]
    assert outcome.code == 0
    assert outcome.result["images"] + len(rows) == len(files)
    assert outcome.result["images"] >= 57
    assert not (rows["reason"] == "").any()


def test_what_changed_is_in_the_json(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    first = ingest(raw).result
    assert (first["added"]["count"], first["reused"]) == (12, 0)
    (raw / "SICK" / "p1_a.png").unlink()
    draw(raw / "WELL" / "p0_a.png", 500)
    draw(raw / "WELL" / "new.png", 501)
    result = ingest(raw).result
    assert result["added"] == {"count": 1, "first": ["WELL/new.png"]}
    assert result["changed"] == {"count": 1, "first": ["WELL/p0_a.png"]}
    assert result["vanished"] == {"count": 1, "first": ["SICK/p1_a.png"]}
    assert result["reused"] == 10


@pytest.mark.parametrize("value", ["last", "-1", "1.5"])
def test_frames_of_another_kind_are_refused(tmp_path: Path, ingest: Ingest, value: str) -> None:
    outcome = ingest(classes(tmp_path / "raw"), "--frames", value)
    assert (outcome.code, outcome.error) == (2, f"ingest: --frames cannot be '{value}'")
