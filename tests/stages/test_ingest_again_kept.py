"""What a second ingest keeps: patients, archives, folds."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.dataset.manifest import leaks, read_dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.files import sealed
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write
from tests.stages.ingest_again import again, cohort, watch_reading


def test_new_dicom_files_keep_to_the_patients_of_the_earlier_ones(tmp_path: Path) -> None:
    raw = tmp_path / "raw"

    def add(number: int, patient: str) -> None:
        path = raw / ("SICK" if int(patient) % 2 else "WELL") / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(dicom_image(np.full((2, 2), number, dtype="u1"), PatientID=f"MRN-{patient}"), path)

    for number in range(10):
        add(number, str(number))
    again(tmp_path, raw)
    for number in range(10):
        add(20 + number, str(number))
    result = again(tmp_path, raw)
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    assert (result.patients, result.images, result.reused) == (10, 20, 10)
    assert leaks(rows)["patients"] == []


def test_dicom_files_that_name_patients_do_not_join_a_set_whose_patients_were_a_placeholder(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    for number in range(6):
        path = raw / ("SICK" if number % 2 else "WELL") / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(dicom_image(np.full((2, 2), number, dtype="u1"), PatientID="ANON"), path)
    again(tmp_path, raw)
    for number in range(6, 9):
        write(
            dicom_image(np.full((2, 2), number, dtype="u1"), PatientID=f"MRN-{number}"),
            raw / "SICK" / f"{number}.dcm",
        )
    with pytest.raises(DataError, match="the new DICOM files name patients") as caught:
        again(tmp_path, raw)
    assert "--fresh" in caught.value.hint
    assert again(tmp_path, raw, fresh=True).patients == 4


def test_a_data_set_that_does_not_say_how_it_was_made_is_not_added_to(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(6))
    again(tmp_path, raw)
    path = tmp_path / "study" / "dataset" / "dataset.json"
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), "origins": []})))
    with pytest.raises(UsageError, match="does not say how the data set was made"):
        again(tmp_path, raw)


def test_an_unchanged_archive_is_not_unpacked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = {"train_images": np.zeros((4, 5, 5), dtype=np.uint8), "train_labels": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "set.npz", **stacks)  # type: ignore[arg-type]
    again(tmp_path, tmp_path / "set.npz")
    opened = watch_reading(monkeypatch)
    assert (again(tmp_path, tmp_path / "set.npz").reused, opened) == (4, [])
    stacks["train_images"] = np.ones((4, 5, 5), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", **stacks)  # type: ignore[arg-type]
    assert len(again(tmp_path, tmp_path / "set.npz").changes.changed) == len(opened) == 4


def test_folds_are_kept_and_new_patients_spread_over_them(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(30))
    again(tmp_path, raw, patient_regex=r"(p\d+)", folds=5)
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    before = dict(zip(rows["image_id"], rows["fold"], strict=True))
    assert set(rows.loc[rows["split"] == "test", "fold"]) == {""}
    cohort(raw, range(30, 50))
    again(tmp_path, raw)
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    after = dict(zip(rows["image_id"], rows["fold"], strict=True))
    assert {name: after[name] for name in before} == before
    seen = rows[rows["split"] != "test"]
    assert seen.groupby("patient_id")["fold"].nunique().max() == 1
    sizes = seen["fold"].value_counts()
    assert set(sizes.index) == set("01234")
    assert sizes.max() - sizes.min() <= 4


def test_modification_times_are_not_content(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(6))
    again(tmp_path, raw)
    for path in raw.rglob("*.png"):
        os.utime(path, (1, 1))
    assert again(tmp_path, raw).reused == 12


def test_a_class_that_lost_its_images_stops_the_ingest(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(8))
    again(tmp_path, raw)
    for path in (raw / "SICK").iterdir():
        path.write_text("not a picture")
    with pytest.raises(DataError, match="class 'SICK' has no readable image"):
        again(tmp_path, raw)
