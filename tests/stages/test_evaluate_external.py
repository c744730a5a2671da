"""evaluate --data: a run's model on images from elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.cli import app
from medimg_cli.dataset.manifest import read_dataset, read_info
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg
from tests.dataset.layouts.workbook import write_xlsx


@pytest.fixture
def own(trained: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the trained workspace that a test may add to; its images stay where they are."""
    target = tmp_path / "study"
    shutil.copytree(trained.root, target, ignore=shutil.ignore_patterns("raw", "*.log"))
    return Workspace(target)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a folder of 16 images of 8 patients that no training has seen."""
    return draw_cohort(tmp_path / "clinic", patients=8, seed=7)


def evaluated(own: Workspace, folder: Path, *options: str) -> int:
    return medimg(own.root, "evaluate", "first", "--data", str(folder), *options)


def results(own: Workspace, name: str = "clinic") -> tuple[Run, dict[str, Any]]:
    run = find_run(own, "first")
    return run, json.loads(run.metrics_path(f"external-{name}").read_text())


def test_all_images_of_a_folder_are_answered_at_the_model_s_own_threshold(
    own: Workspace, elsewhere: Path
) -> None:
    assert evaluated(own, elsewhere) == 0
    run, found = results(own)
    card = run.read_card()
    table = pd.read_csv(run.predictions_path("external-clinic"))
    assert card.threshold is not None
    assert (found["split"], found["n"], len(table)) == ("external-clinic", 16, 16)
    assert found["threshold"]["value"] == card.threshold.value
    ill = table[table["y_true"] == "SPOT"]
    assert found["missed"]["count"] == int((ill["prob_SPOT"] < card.threshold.value).sum())
    assert [name for name in table.columns if name.startswith("prob_")] == [
        f"prob_{name}" for name in card.classes
    ]
    assert found["leakage"]["shared_files"] == 0
    assert any("patients here and in training are not comparable" in text for text in found["warnings"])
    assert found["shift"]["rows"]
    place = run.folder / "external" / "clinic"
    assert len(read_dataset(Workspace(place)).rows) == 16


def test_a_folder_that_grew_is_read_again_and_another_of_that_name_takes_its_place(
    own: Workspace, elsewhere: Path, tmp_path: Path
) -> None:
    assert evaluated(own, elsewhere) == 0
    first = results(own)[1]
    draw_cohort(elsewhere, patients=10, seed=7)
    assert evaluated(own, elsewhere) == 0
    assert (first["n"], results(own)[1]["n"]) == (16, 20)
    other = draw_cohort(tmp_path / "other" / "clinic", patients=6, seed=9)
    assert evaluated(own, other) == 0
    run, found = results(own)
    assert found["n"] == 12
    assert read_info(Workspace(run.folder / "external" / "clinic")).sources == (str(other),)


def test_files_that_have_no_part_in_a_figure_or_several_are_said(
    own: Workspace, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ill = sorted((elsewhere / "SPOT").iterdir())
    for path in ill[:3]:
        path.write_bytes(path.read_bytes()[:90])
    ill[3].write_bytes(b"")
    for path in ill[4:6]:
        shutil.copy(path, elsewhere / "SPOT" / f"again_{path.name}")
    shutil.copy(ill[4], elsewhere / "CLEAR" / "other.png")
    assert evaluated(own, elsewhere) == 0
    lost, twice = [text for text in results(own)[1]["warnings"] if "files" in text]
    assert lost.startswith(
        "4 of 19 files have no part in any figure: the file is truncated (3), the file is empty (1) ("
    )
    assert twice == "5 images are 2 files that stand there several times, 1 of them under different classes"
    capsys.readouterr()
    assert app.run(["recalibrate", "first", "--data", str(elsewhere), "-C", str(own.root)]) == 0
    said = capsys.readouterr().err
    assert f"warning: {lost}" in said
    assert f"warning: {twice}" in said
    for path in ill[:4]:  # what was taken away since is no file of this test
        path.unlink()
    assert evaluated(own, elsewhere) == 0
    assert [text for text in results(own)[1]["warnings"] if "no part" in text] == []


def test_of_an_archive_with_a_test_split_alone_all_images_are_answered(
    own: Workspace, elsewhere: Path, tmp_path: Path
) -> None:
    files = sorted(elsewhere.rglob("*.png"))
    stack = np.stack([np.asarray(Image.open(path)) for path in files])
    labels = np.array([path.parent.name == "SPOT" for path in files]).astype(int)
    np.savez(tmp_path / "clinic.npz", test_images=stack, test_labels=labels)
    maps = ("--map", "1=SPOT", "--map", "0=CLEAR")
    assert evaluated(own, tmp_path / "clinic.npz", *maps) == 0
    by_array = results(own, "clinic.npz")[1]
    assert evaluated(own, elsewhere) == 0
    by_file = results(own)[1]
    assert by_array["n"] == 16
    for name in ("recall", "specificity", "auroc", "brier"):
        assert by_array["metrics"][name]["value"] == by_file["metrics"][name]["value"]


def test_a_class_that_the_model_does_not_know_is_refused(
    own: Workspace, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "SPOT").rename(elsewhere / "SPOTS")
    assert evaluated(own, elsewhere) == 3
    assert "does not know class 'SPOTS', it knows CLEAR, SPOT" in capsys.readouterr().err


def test_images_of_the_training_are_refused_unless_allowed(
    own: Workspace, trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    learnt = len(read_dataset(trained).of_split("train", "val"))
    assert evaluated(own, trained.root / "raw") == 1
    assert f"{learnt} files and 0 patients were used in training already" in capsys.readouterr().err
    assert evaluated(own, trained.root / "raw", "--allow-leak") == 0
    leaky = results(own, "raw")[1]
    assert leaky["leakage"]["shared_files"] == learnt == leaky["leakage"]["leak"]["images"]
    assert evaluated(own, trained.root / "raw", "--without-leaked") == 0
    rest = results(own, "raw")[1]
    assert (rest["n"], rest["leakage"]["left_out"]) == (leaky["n"] - learnt, learnt)
    assert rest["leakage"]["shared_files"] == 0


def test_a_workspace_is_taken_as_it_was_ingested(own: Workspace, elsewhere: Path, tmp_path: Path) -> None:
    there = tmp_path / "partner"
    medimg(there, "ingest", str(elsewhere), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert evaluated(own, there) == 0
    found = results(own, "partner")[1]
    assert (found["n"], found["patients"], found["resampled"]) == (16, 8, "patient")
    assert evaluated(own, there, "--layout", "folders") == 2


def test_a_table_of_labels_can_be_named(own: Workspace, elsewhere: Path) -> None:
    rows = [(path.name, path.parent.name) for path in sorted(elsewhere.rglob("*.png"))]
    for path in sorted(elsewhere.rglob("*.png")):
        path.rename(elsewhere / path.name)
    labels = elsewhere.parent / "labels.csv"
    pd.DataFrame(rows, columns=["image", "label"]).to_csv(labels, index=False)
    assert evaluated(own, elsewhere, "--labels", str(labels)) == 0
    assert results(own)[1]["class_counts"] == {"CLEAR": 8, "SPOT": 8}


def test_other_names_of_the_classes_are_mapped_to_the_model_s(
    own: Workspace, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (f"D:\\x\\{path.name}", {"CLEAR": 0.0, "SPOT": 1.0}[path.parent.name])
        for path in elsewhere.rglob("*.png")
    ]
    for path in sorted(elsewhere.rglob("*.png")):
        path.rename(elsewhere / path.name)
    sheet = [["Clinic"], [], ["image", "label"], *rows]
    labels = write_xlsx(elsewhere.parent / "labels.xlsx", {"Legend": [["a", "b"]], "Data": sheet})
    given = ("--labels", str(labels), "--sheet", "Data")
    assert evaluated(own, elsewhere, *given) == 3
    assert "does not know class '0'" in capsys.readouterr().err
    assert evaluated(own, elsewhere, *given, "--map", "0=CLEAR", "--map", "1=SPOT") == 0
    assert results(own)[1]["class_counts"] == {"CLEAR": 8, "SPOT": 8}
    assert evaluated(own, elsewhere, *given, "--map", "2=SPOT") == 2
    assert "--map 2=SPOT: no label is '2'" in capsys.readouterr().err
    assert evaluated(own, elsewhere, "--map", "SPOT") == 2
    assert medimg(own.root, "evaluate", "first", "--map", "1=SPOT") == 2


def test_images_of_the_disease_alone_and_their_patients_are_told_as_ingest_would_be(
    own: Workspace, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(elsewhere / "CLEAR")
    assert evaluated(own, elsewhere, "--patient-regex", r"(patient\d+)") == 0
    found = results(own)[1]
    assert (found["missed"]["of"], found["patients"], found["class_counts"]) == (
        8,
        4,
        {"CLEAR": 0, "SPOT": 8},
    )
    assert "disease class" not in capsys.readouterr().err  # the model knows which one that is


def test_without_the_training_s_images_leaks_are_not_excluded(own: Workspace, elsewhere: Path) -> None:
    shutil.rmtree(own.root / "dataset")
    assert evaluated(own, elsewhere) == 0
    found = results(own)[1]
    assert "the images the model learnt from are not at hand" in found["leakage"]["not_compared"]
    assert found["shift"] is None


def test_the_run_s_own_workspace_and_options_of_a_split_are_refused(own: Workspace, elsewhere: Path) -> None:
    assert evaluated(own, own.root) == 2
    assert evaluated(own, elsewhere, "--split", "val") == 2
    assert evaluated(own, elsewhere.parent / "nowhere") == 3
