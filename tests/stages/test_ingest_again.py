"""Ingest on a data set that stands: nobody moves, only what is new is read, and every change has a name."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.core.config import IngestSettings
from medimg_cli.core.image import DecodedImage
from medimg_cli.core.manifest import leaks, read_dataset, read_quarantine
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, UsageError
from medimg_cli.readers import read_image
from medimg_cli.stages import ingest as stage
from medimg_cli.stages.ingest import IngestResult, ingest
from tests.readers.dicom_file import dicom_image, write


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def cohort(root: Path, patients: range, *, views: str = "ab", offset: int = 0) -> Path:
    for patient in patients:
        for view in views:
            name = f"{'SICK' if patient % 2 else 'WELL'}/p{patient:03d}_{view}.png"
            draw(root / name, offset + patient * 10 + ord(view) - 97)
    return root


def again(tmp_path: Path, *sources: Path, **settings: Any) -> IngestResult:
    return ingest(Workspace(tmp_path / "work"), sources, IngestSettings(**settings))


def splits(tmp_path: Path) -> dict[str, str]:
    rows = read_dataset(Workspace(tmp_path / "work")).rows
    return dict(zip(rows["image_id"], rows["split"], strict=True))


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of every file that is decoded from now on."""
    opened: list[str] = []

    def watched(path: str) -> DecodedImage:
        opened.append(Path(path).name)
        return read_image(path)

    monkeypatch.setattr(stage, "read_image", watched)
    return opened


def test_new_images_move_nobody_and_follow_their_patient(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(40))
    again(tmp_path, raw, patient_regex=r"(p\d+)")
    before = splits(tmp_path)
    cohort(raw, range(30, 60), views="c")
    result = again(tmp_path, raw)
    after = splits(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(result.changes.added) == 30
    rows = read_dataset(Workspace(tmp_path / "work")).rows
    assert leaks(rows) == {"patients": [], "files": []}
    new = rows[rows["patient_id"] >= "p040"]
    assert new["split"].value_counts().to_dict() == {"train": 14, "val": 3, "test": 3}


def test_only_new_and_changed_images_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = cohort(tmp_path / "raw", range(20))
    again(tmp_path, raw)
    draw(raw / "SICK" / "p001_a.png", 999)
    cohort(raw, range(20, 25), views="a")
    opened = watch_reading(monkeypatch)
    result = again(tmp_path, raw)
    assert sorted(opened) == ["p001_a.png", *(f"p{n:03d}_a.png" for n in range(20, 25))]
    assert (result.reused, result.changes.changed) == (39, ("SICK/p001_a.png",))


def test_the_same_source_again_gives_the_same_bytes(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(12))
    first = again(tmp_path, raw, seed=3, patient_regex=r"(p\d+)", folds=3)
    dataset = tmp_path / "work" / "dataset"
    content = {path.name: path.read_bytes() for path in sorted(dataset.iterdir())}
    second = again(tmp_path, raw)
    assert {path.name: path.read_bytes() for path in sorted(dataset.iterdir())} == content
    assert (first.reused, second.reused) == (0, 24)
    assert "nothing is new, changed or gone: the data set is as it was" in second.notes


def test_what_vanished_has_a_row_and_gets_its_split_again_when_it_comes_back(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(20))
    again(tmp_path, raw)
    before = splits(tmp_path)
    away = sorted((raw / "SICK").iterdir())[:6]
    for path in away:
        path.rename(tmp_path / path.name)
    result = again(tmp_path, raw)
    names = tuple(f"SICK/{path.name}" for path in away)
    assert (result.changes.vanished, result.quarantined, result.images) == (names, 6, 34)
    assert f"6 vanished: {', '.join(names[:3])}, …" in result.notes
    table = read_quarantine(Workspace(tmp_path / "work"))
    assert set(table["reason"]) == {"vanished since the last ingest"}
    again(tmp_path, raw)
    table = read_quarantine(Workspace(tmp_path / "work"))
    assert table["reason"].tolist() == ["vanished since an earlier ingest"] * 6
    for path in away:
        (tmp_path / path.name).rename(path)
    assert again(tmp_path, raw).quarantined == 0
    assert splits(tmp_path) == before


def test_an_image_that_became_unreadable_is_changed_and_its_reason_stands_in_quarantine(
    tmp_path: Path,
) -> None:
    raw = cohort(tmp_path / "raw", range(8))
    again(tmp_path, raw)
    (raw / "WELL" / "p000_a.png").write_bytes(b"")
    result = again(tmp_path, raw)
    assert (result.changes.changed, result.changes.vanished) == (("WELL/p000_a.png",), ())
    assert read_quarantine(Workspace(tmp_path / "work"))["reason"].tolist() == ["the file is empty"]


def test_another_source_joins_and_the_first_keeps_its_ids(tmp_path: Path) -> None:
    first, second = cohort(tmp_path / "raw", range(12)), cohort(tmp_path / "more", range(12, 20), offset=5000)
    again(tmp_path, first)
    before = splits(tmp_path)
    result = again(tmp_path, second)
    after = splits(tmp_path)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("more/") for name in result.changes.added)
    assert (result.images, len(result.changes.added)) == (40, 16)
    assert again(tmp_path, first).reused == 40


def test_sources_with_tables_of_their_own_join(tmp_path: Path) -> None:
    for name, numbers in (("a", range(8)), ("b", range(8, 16))):
        for number in numbers:
            draw(tmp_path / name / f"{number}.png", number)
        lines = [f"{number}.png,{'SICK' if number % 2 else 'WELL'}" for number in numbers]
        (tmp_path / f"{name}.csv").write_text("file,label\n" + "\n".join(lines))
    again(tmp_path, tmp_path / "a", labels=tmp_path / "a.csv")
    result = again(tmp_path, tmp_path / "b", labels=tmp_path / "b.csv")
    assert (result.images, result.quarantined, result.reused) == (16, 0, 8)
    assert again(tmp_path, tmp_path / "a").images == 16


def test_a_label_that_was_corrected_in_the_table_is_taken_and_said(tmp_path: Path) -> None:
    for number in range(8):
        draw(tmp_path / "a" / f"{number}.png", number)
    lines = [f"{number}.png,{'SICK' if number % 2 else 'WELL'}" for number in range(8)]
    table = tmp_path / "a.csv"
    table.write_text("file,label\n" + "\n".join(lines))
    again(tmp_path, tmp_path / "a", labels=table)
    table.write_text(table.read_text().replace("1.png,SICK", "1.png,WELL"))
    result = again(tmp_path, tmp_path / "a")
    assert (result.reused, result.classes) == (8, {"SICK": 3, "WELL": 5})
    assert "1 have another label now: 1.png" in result.notes


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"seed": 1}, "--seed 1 is not what the data set was made with: 0"),
        (
            {"split": (0.8, 0.1, 0.1)},
            "--split 0.8,0.1,0.1 is not what the data set was made with: 0.7,0.15,0.15",
        ),
        ({"patient_regex": r"(p\d+)"}, "--patient-regex is new"),
        ({"frames": "all"}, "--frames all is not what the data set was made with: middle"),
        ({"patient_col": "who"}, "--patient-col who is not what the data set was made with: none"),
    ],
)
def test_settings_that_would_move_images_are_refused_unless_it_starts_over(
    tmp_path: Path, said: dict[str, Any], what: str
) -> None:
    raw = cohort(tmp_path / "raw", range(6))
    again(tmp_path, raw)
    with pytest.raises(UsageError, match=what[:20]) as caught:
        again(tmp_path, raw, **said)
    assert caught.value.what.startswith(what)
    assert "--fresh" in caught.value.hint
    if "patient_col" not in said:
        assert again(tmp_path, raw, fresh=True, **said).reused == 0


def test_a_source_that_is_not_connected_stops_the_ingest_instead_of_emptying_the_data_set(
    tmp_path: Path,
) -> None:
    disk, here = cohort(tmp_path / "disk", range(8)), cohort(tmp_path / "here", range(8, 12))
    again(tmp_path, disk)
    before = splits(tmp_path)
    shutil.move(disk, tmp_path / "unplugged")
    with pytest.raises(DataError, match="disk, a source of the data set, does not exist"):
        again(tmp_path, here)
    assert splits(tmp_path) == before


def test_an_exclusion_stands_while_the_file_is_the_same(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(8))
    again(tmp_path, raw)
    path = tmp_path / "work" / "dataset" / "manifest.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[0, ["status", "reason"]] = ["excluded", "text burned in"]
    rows.to_csv(path, index=False)
    again(tmp_path, raw)
    row = read_dataset(Workspace(tmp_path / "work")).rows.iloc[0]
    assert (row["status"], row["reason"]) == ("excluded", "text burned in")


def test_new_images_of_an_official_train_folder_even_out_its_validation(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for split, numbers in (("train", range(40)), ("test", range(100, 120))):
        cohort(raw / split, numbers, views="a")
    again(tmp_path, raw)
    before = splits(tmp_path)
    cohort(raw / "train", range(40, 80), views="a")
    cohort(raw / "test", range(120, 124), views="a")
    result = again(tmp_path, raw)
    after = splits(tmp_path)
    assert {name: after[name] for name in before} == before
    assert result.splits["test"] == 24
    assert result.splits["val"] == pytest.approx(80 * 0.15 / 0.85, abs=2)


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
    rows = read_dataset(Workspace(tmp_path / "work")).rows
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
    path = tmp_path / "work" / "dataset" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "origins": []}))
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
    rows = read_dataset(Workspace(tmp_path / "work")).rows
    before = dict(zip(rows["image_id"], rows["fold"], strict=True))
    assert set(rows.loc[rows["split"] == "test", "fold"]) == {""}
    cohort(raw, range(30, 50))
    again(tmp_path, raw)
    rows = read_dataset(Workspace(tmp_path / "work")).rows
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
