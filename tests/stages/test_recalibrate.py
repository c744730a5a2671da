"""recalibrate: a run of its own for another place, which every later command takes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode, GateError
from medimg_cli.inference.load import open_classifier
from medimg_cli.runs.ledger import note_sample, refuse_sample
from medimg_cli.runs.run import Recalibration, Run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg
from tests.inference.small_runs import THRESHOLD, card_of, ensemble_of, run_of


@pytest.fixture
def study(trained: Workspace, tmp_path: Path) -> Path:
    """Return a copy of the trained workspace that a test may add to."""
    shutil.copytree(trained.root, tmp_path / "study", ignore=shutil.ignore_patterns("*.log"))
    return tmp_path / "study"


def darker(folder: Path, patients: int, seed: int) -> Path:
    """Write cases of a place whose pictures are darker and flatter."""
    draw_cohort(folder, patients=patients, seed=seed)
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            pixels = np.asarray(picture).astype(float)
        Image.fromarray((pixels * 0.6 + 15).astype(np.uint8)).save(path)
    return folder


def recalibrate(study: Path, data: Path, *options: str) -> int:
    return medimg(study, "recalibrate", "first", "--data", str(data), "--name", "there", *options)


def test_the_new_run_has_its_own_threshold_and_lineage_and_the_same_network(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = Run(study / "runs" / "first")
    before = {path.name: path.read_bytes() for path in parent.folder.iterdir() if path.is_file()}
    data = darker(tmp_path / "sample", 20, 11)
    assert recalibrate(study, data, "--target-recall", "0.9", "--json") == ExitCode.DONE
    said = json.loads(capsys.readouterr().out)
    run = Run(study / "runs" / "there")
    card, record, old = run.read_card(), run.read_record(), parent.read_card()
    assert {path.name: path.read_bytes() for path in parent.folder.iterdir() if path.is_file()} == before
    assert (record.parent, record.status, said["parent"], said["run"]) == (
        "first",
        "complete",
        "first",
        "there",
    )
    assert run.weights_path.read_bytes() == parent.weights_path.read_bytes()
    assert (card.weights_sha256, card.fingerprint) == (old.weights_sha256, old.fingerprint)
    assert (said["images"], record.recalibrated["images"]) == (40, 40)
    table = pd.read_csv(run.predictions_path("local"))
    assert card.threshold is not None
    called, ill = table["prob_SPOT"] >= card.threshold.value, table["y_true"] == "SPOT"
    assert called[ill].mean() == pytest.approx(card.threshold.achieved_recall)
    assert card.threshold.achieved_recall is not None and card.threshold.achieved_recall >= 0.9
    assert (card.threshold.split, card.threshold.positives) == ("local", (20, 20))
    assert "from 20 positives: expected recall" in said["promise"]
    assert said["threshold"]["value"] == card.threshold.value


def test_cases_of_which_every_one_is_called_positive_are_said_to_be_so(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw_cohort(tmp_path / "noise", patients=24, seed=3)
    for label, other in (
        ("CLEAR", "x"),
        ("SPOT", "CLEAR"),
        ("x", "SPOT"),
    ):  # what the model calls ill is well here
        (data / label).rename(data / other)
    call = ("recalibrate", "first", "--data", str(data), "--target-recall", "0.99", "--workspace", str(study))
    assert run(call) == ExitCode.DONE
    said = " ".join(capsys.readouterr().err.split())
    assert "on the local cases, every image is called SPOT: this decision tells no image from another" in said


def test_every_later_command_takes_it_and_decides_alike(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recalibrate(study, darker(tmp_path / "sample", 24, 11)) == ExitCode.DONE
    run = Run(study / "runs" / "there")
    card = run.read_card()
    run.write_card(card.model_copy(update={"recalibration": Recalibration(scale=0.6, shift=(0.0, 0.8))}))
    rest = darker(tmp_path / "rest", 12, 12)
    assert medimg(study, "evaluate", "there", "--data", str(rest)) == ExitCode.DONE
    found = json.loads(run.metrics_path("external-rest").read_text())
    assert found["threshold"] == json.loads(run.card_path.read_text())["threshold"]
    assert found["contract"]["positives"] == 24
    table = pd.read_csv(run.predictions_path("external-rest")).set_index("path")["prob_SPOT"]
    assert medimg(study, "predict", str(rest), "--run", "there", "--out", str(tmp_path / "p.csv")) in (0, 4)
    predicted = pd.read_csv(tmp_path / "p.csv")
    by_name = {Path(str(path)).name: value for path, value in table.items()}
    assert all(
        value == pytest.approx(by_name[Path(path).name], abs=1e-5)
        for path, value in zip(predicted["path"], predicted["prob_SPOT"], strict=True)
    )
    for command in (
        ("evaluate", "there"),
        ("report", "there", "--out", str(tmp_path / "r.html")),
        ("export", "there", "--out", str(tmp_path / "m.onnx"), "--verify"),
        ("bundle", "there", "--out", str(tmp_path / "b.zip")),
        ("runs",),
    ):
        assert medimg(study, *command) == ExitCode.DONE, command
    bundled = open_classifier(tmp_path / "b.zip")
    assert bundled is not None and bundled.card == run.read_card()
    capsys.readouterr()
    assert medimg(study, "evaluate", "there", "--data", str(tmp_path / "sample")) == ExitCode.GATE
    assert "was recalibrated on 48 of these images" in capsys.readouterr().err
    assert medimg(study, "evaluate", "there", "--target-recall", "0.6", "--keep-threshold") == ExitCode.DONE
    kept = run.read_card().threshold
    assert kept is not None and (kept.split, kept.target_recall) == ("local", 0.6)


def test_images_that_were_trained_on_and_cases_without_the_disease_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recalibrate(study, study / "raw") == ExitCode.GATE
    said = capsys.readouterr().err
    assert "were used in training already" in said and "hint: take them out" in said
    well = draw_cohort(tmp_path / "well", patients=10, seed=3)
    shutil.rmtree(well / "SPOT")
    (well / "CLEAR").rename(well / "x")
    (well / "CLEAR").mkdir()
    (well / "x").rename(well / "CLEAR" / "x")
    table = pd.DataFrame({"path": [p.as_posix() for p in sorted(well.rglob("*.png"))], "label": "CLEAR"})
    table["path"] = [Path(path).relative_to(well).as_posix() for path in table["path"]]
    table.to_csv(tmp_path / "labels.csv", index=False)
    code = recalibrate(study, well, "--labels", str(tmp_path / "labels.csv"))
    assert code == ExitCode.DATA
    assert not (study / "runs" / "there").exists()


def test_classes_of_other_names_are_mapped_and_cases_of_the_disease_alone_are_refused_for_that(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = darker(tmp_path / "sample", 8, 11)
    (data / "SPOT").rename(data / "Fleck")
    assert recalibrate(study, data) == ExitCode.DATA
    assert "--map 'Fleck=CLASS' says which it is" in capsys.readouterr().err
    assert (
        recalibrate(study, data, "--map", "Fleck=SPOT", "--patient-regex", r"(patient\d+)") == ExitCode.DONE
    )
    assert Run(study / "runs" / "there").read_record().recalibrated["patients"] == 8
    (data / "CLEAR").rename(tmp_path / "CLEAR")
    assert (
        recalibrate(study, data, "--map", "Fleck=SPOT", "--patient-regex", r"(patient\d+)") == ExitCode.DATA
    )
    assert "only cases of SPOT" in capsys.readouterr().err


def test_other_images_of_patients_of_the_sample_are_no_test(trained: Workspace, tmp_path: Path) -> None:
    dataset, run = read_dataset(trained), Run(tmp_path)
    rows = dataset.of_split("test")
    by_header = replace(dataset, info=dataset.info.model_copy(update={"patients_from": "DICOM header"}))
    first, others = rows.iloc[::2], rows.iloc[1::2]  # two images a patient
    note_sample(run, replace(by_header, rows=first))
    with pytest.raises(GateError, match=r"recalibrated on \d of these patients, by other images"):
        refuse_sample(run, by_header, others, allowed=False)
    refuse_sample(run, by_header, others, allowed=True)
    refuse_sample(run, dataset, others, allowed=False)  # an id of a file's name may be somebody else's


@pytest.mark.parametrize("kind", ["single", "ensemble", "labels"])
def test_the_exported_file_holds_the_change(kind: str, tmp_path: Path) -> None:
    change = Recalibration(scale=0.7, shift=(0.0, 0.4, -0.9))
    if kind == "ensemble":
        run = ensemble_of(tmp_path / "run", positive="B", threshold=THRESHOLD, recalibration=change)
    else:
        answers = "sigmoid" if kind == "labels" else "softmax"
        run = run_of(tmp_path / "run", card_of("small-cnn", answers=answers, recalibration=change))
    plain = run.read_card().model_copy(update={"recalibration": None})
    judge = open_classifier(run.folder)
    assert judge is not None
    assert medimg(tmp_path, "export", str(run.folder), "--out", str(tmp_path / "m.onnx")) == ExitCode.DONE
    run.write_card(plain)
    before = open_classifier(run.folder)
    assert before is not None
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype(np.uint8)
    changed, unchanged = judge.predictor.of_pixels(pixels), before.predictor.of_pixels(pixels)
    assert np.abs(changed - unchanged).max() > 0.02
