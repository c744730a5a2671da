"""Files that are no images, classes of them, and options that do not fit: a row or one line."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_quarantine
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
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


def test_files_of_many_gigabytes_are_rows_in_no_time_and_nothing_is_hashed(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = classes(tmp_path / "raw")
    heads = {
        "20zeros.png": b"",
        "20a.png": b"\x89PNG\r\n\x1a\n",
        "20b.dcm": bytes(128) + b"DICM",
        "1zeros.png": b"",
    }
    for name, head in heads.items():
        (raw / "SICK" / name).write_bytes(head)
        os.truncate(raw / "SICK" / name, 20 << 30 if name.startswith("2") else 1 << 30)
    hashed: list[int] = []

    def hash_of(path: Path) -> str:
        hashed.append(path.stat().st_size)
        return sha256_of_file(path) if hashed[-1] < 1 << 20 else "much too long"

    monkeypatch.setattr("medimg_cli.dataset.ingest.examine.sha256_of_file", hash_of)
    outcome = ingest(raw)
    assert (outcome.code, outcome.result["quarantined"]) == (0, 4)
    rows = read_quarantine(Workspace(tmp_path / "study"))
    reasons = dict(zip([Path(path).name for path in rows["path"]], rows["reason"], strict=True))
    assert reasons["20zeros.png"] == "21,474,836,480 bytes, more than the limit of 8,589,934,592"
    assert reasons["1zeros.png"].startswith("not an image of a known format")
    assert set(rows["bytes"].astype(int)) == {20 << 30, 1 << 30}
    assert max(hashed) < 1 << 20
    (raw / "SICK" / "p1_a.png").write_bytes(b"")  # one that stands grows
    os.truncate(raw / "SICK" / "p1_a.png", 20 << 30)
    assert ingest(raw).reasons["p1_a.png"].startswith("21,474,836,480 bytes")
    assert max(hashed) < 1 << 20


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ingest", "{raw}", "--labels", "{huge}"), 3),
        (("evaluate", "--predictions", "{huge}"), 3),
        (("ingest", "{raw}", "--config", "{huge}"), 2),
        (("info", "{huge}"), 3),
        (("predict", "{raw}", "--run", "{huge}"), 6),
    ],
)
def test_a_table_settings_and_a_model_of_twenty_gigabytes_are_two_lines(
    arguments: tuple[str, ...], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, huge = classes(tmp_path / "raw"), tmp_path / "huge.csv"
    huge.write_text("image,label\n")
    os.truncate(huge, 20 << 30)
    named = [part.format(raw=raw, huge=huge) for part in arguments]
    assert medimg(tmp_path / "study", *named) == code
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert (first[:7], second[:6]) == ("error: ", "hint: ")
    assert "huge.csv" in first


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
    assert (outcome.code, outcome.error) == (
        3,
        "class 'ODD' has no readable image: the file is truncated (1 of 1 files)",
    )


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


def test_an_official_train_split_that_is_damaged_is_the_cause_that_is_named(
    tmp_path: Path, ingest: Ingest
) -> None:
    stacks = {
        f"{split}_{kind}": np.random.default_rng(0).integers(0, 255, (12, 96, 96), dtype=np.uint8)
        if kind == "images"
        else np.arange(12) % 2
        for split in ("train", "val", "test")
        for kind in ("images", "labels")
    }
    np.savez_compressed(tmp_path / "a.npz", **stacks)  # type: ignore[arg-type]
    whole = (tmp_path / "a.npz").read_bytes()
    place = whole.index(b"train_images.npy") + 90_000
    (tmp_path / "a.npz").write_bytes(whole[:place] + bytes(20) + whole[place + 20 :])
    outcome = ingest(tmp_path / "a.npz")
    assert outcome.code == 3
    assert outcome.error.startswith(
        "no image of the train split can be read: the decoder failed (BadZipFile: Bad CRC"
    )
    assert outcome.error.endswith("(12 of 12 files)")
    assert "hint: copy or download the source again" in outcome.errors
    raw = classes(tmp_path / "raw")
    rows = [
        f"{path.relative_to(raw).as_posix()},{path.parent.name},{'test' if 'p1' in path.name else 'train'}"
        for path in sorted(raw.rglob("*.png"))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,part", *rows]))
    for row in rows:
        if row.endswith("train"):
            (raw / row.split(",")[0]).write_bytes(b"")
    outcome = ingest(raw, "--labels", tmp_path / "labels.csv", "--use-split-col", "part")
    assert outcome.error == "no image of the train split can be read: the file is empty (10 of 10 files)"


@pytest.mark.parametrize("name", ["a.npz", "a.zip"])
def test_an_archive_without_its_end_is_called_damaged(name: str, tmp_path: Path, ingest: Ingest) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in classes(tmp_path / "raw").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path / "raw"))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-200])
    outcome = ingest(tmp_path / name)
    assert (outcome.code, outcome.error) == (
        3,
        f"{tmp_path / name} is cut off or damaged: its list of members is missing",
    )
