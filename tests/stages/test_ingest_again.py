"""Ingest on a data set that stands: nobody moves, only what is new is read, and every change has a name."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import RELABELLED, leaks, read_dataset, read_quarantine, write_dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.workspace import Workspace
from tests.stages.ingest_again import again, cohort, draw, splits, watch_reading


def test_new_images_move_nobody_and_follow_their_patient(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", range(40))
    again(tmp_path, raw, patient_regex=r"(p\d+)")
    before = splits(tmp_path)
    cohort(raw, range(30, 60), views="c")
    result = again(tmp_path, raw)
    after = splits(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(result.changes.added) == 30
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    assert leaks(rows) == {"patients": [], "files": []}
    new = rows[rows["patient_id"] >= "p040"]
    assert new["split"].value_counts().to_dict() == {"train": 14, "val": 3, "test": 3}


def test_labels_of_names_are_read_by_the_pattern_that_was_given(tmp_path: Path) -> None:
    for number, label in enumerate(("sick", "well") * 3):
        draw(tmp_path / "raw" / f"{label}_{number}.png", number)
    again(tmp_path, tmp_path / "raw", label_regex="(sick|well)")
    draw(tmp_path / "raw" / "sick_9.png", 9)
    assert again(tmp_path, tmp_path / "raw").changes.added == ("sick_9.png",)


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
    dataset = tmp_path / "study" / "dataset"
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
    table = read_quarantine(Workspace(tmp_path / "study"))
    assert set(table["reason"]) == {"vanished since the last ingest"}
    again(tmp_path, raw)
    table = read_quarantine(Workspace(tmp_path / "study"))
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
    assert read_quarantine(Workspace(tmp_path / "study"))["reason"].tolist() == ["the file is empty"]


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
        ({"labels": Path("a.csv")}, "--labels a.csv is not what the data set was made with: none"),
        ({"label_regex": "(p)"}, "--label-regex (p) is not what the data set was made with: none"),
    ],
)
def test_settings_that_would_move_images_are_refused_unless_it_starts_over(
    tmp_path: Path, said: dict[str, Any], what: str
) -> None:
    raw = cohort(tmp_path / "raw", range(6))
    again(tmp_path, raw)
    with pytest.raises(UsageError, match=re.escape(what[:20])) as caught:
        again(tmp_path, raw, **said)
    assert caught.value.what.startswith(what)
    assert "--fresh" in caught.value.hint
    if not {"patient_col", "labels", "label_regex"} & said.keys():
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
    path = tmp_path / "study" / "dataset" / "manifest.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[0, ["status", "reason"]] = ["excluded", "text burned in"]
    rows.to_csv(path, index=False)
    again(tmp_path, raw)
    row = read_dataset(Workspace(tmp_path / "study")).rows.iloc[0]
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


def test_a_dry_run_again_says_of_changes_what_names_tell_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = cohort(tmp_path / "raw", range(60))  # more images than a dry run decodes
    again(tmp_path, raw)
    call = ["ingest", str(raw), "--dry-run", "-C", str(tmp_path / "study")]
    assert run(call) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "nothing is new or gone" in said
    assert not any(f" {kind}: " in said for kind in ("changed", "new", "vanished"))
    draw(raw / "SICK" / "p901_a.png", 1)
    (raw / "WELL" / "p000_a.png").unlink()
    assert run(call) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 new: SICK/p901_a.png" in said and "1 vanished: WELL/p000_a.png" in said
    assert "changed" not in said


def test_a_dry_run_again_takes_neither_frames_nor_reviewed_labels_for_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = cohort(tmp_path / "raw", range(12))
    for name in ("a", "b"):
        pages = [Image.fromarray(np.full((6, 8), 9 * n + ord(name), np.uint8)) for n in range(3)]
        pages[0].save(raw / "SICK" / f"{name}.tif", save_all=True, append_images=pages[1:])
    again(tmp_path, raw, frames="all")
    workspace = Workspace(tmp_path / "study")
    dataset = read_dataset(workspace)
    rows = dataset.rows.copy()
    image = rows.index[rows["label"] == "SICK"][0]
    rows.loc[image, ["label", "reason"]] = ["WELL", f"{RELABELLED} SICK"]
    write_dataset(workspace, replace(dataset, rows=rows), read_quarantine(workspace))
    assert run(["ingest", str(raw), "--dry-run", "-C", str(workspace.root)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "nothing is new or gone" in said and "another label" not in said


def test_every_class_of_a_joined_positive_is_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("benign", "malignant", "unclear")):
        for image in range(4):
            draw(tmp_path / "raw" / name / f"{image}.png", 10 * number + image)
    call = ["ingest", str(tmp_path / "raw"), "-C", str(tmp_path / "study"), "--positive"]
    assert run([*call, "malignant,unclear"]) == 0
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "(positive)" in line]
    assert marked == ["malignant", "unclear"]
