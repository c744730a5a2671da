"""Several classes, one or two of them the disease: one threshold, and the same decision by every way of asking."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.images.readers import read_image
from medimg_cli.inference.load import open_classifier
from medimg_cli.predictions.operating_point import operating_point
from medimg_cli.predictions.predictions import (
    decided_table,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from medimg_cli.runs.run import Run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, medimg

CLASSES = ("benign", "malignant", "normal")


def draw_three(folder: Path, *, patients: int = 60) -> Path:
    """Write one image a patient: noise, with a broad faint spot, a small bright one, or none."""
    generator = np.random.default_rng(5)
    for patient in range(patients):
        label = CLASSES[patient % 3]
        pixels = generator.normal(90, 14, (32, 32))
        side, gain = {"benign": (14, 45), "malignant": (7, 75), "normal": (1, 0)}[label]
        top, left = generator.integers(2, 30 - side, 2)
        pixels[top : top + side, left : left + side] += gain
        target = folder / label / f"patient{patient:03d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return positive class(es) → a run evaluated on test."""
    one, both = (tmp_path_factory.mktemp(name) for name in ("one", "both"))
    raw = draw_three(one / "raw")
    options = ("--patient-regex", r"(patient\d+)", "--split", "0.5,0.2,0.3", "--positive")
    assert medimg(one, "ingest", str(raw), *options, "malignant") == 0
    assert medimg(one, "train", "--epochs", "4", "--batch-size", "8", "--name", "first") == 0
    shutil.copytree(one, both, dirs_exist_ok=True)
    assert medimg(both, "ingest", str(both / "raw"), *options, "benign,malignant", "--fresh") == 0
    as_trained_for(Run(both / "runs" / "first"), read_dataset(Workspace(both)))
    for folder in (one, both):
        assert medimg(folder, "evaluate") == 0
    return {"malignant": Run(one / "runs" / "first"), "benign,malignant": Run(both / "runs" / "first")}


def as_trained_for(run: Run, dataset: Dataset) -> None:
    """Give a model the threshold that training would choose with the positive classes of this data set."""
    card, val = run.read_card(), read_predictions(run.predictions_path("val"))
    targets = dataset.labels.encode(val["y_true"].tolist())
    point = operating_point(dataset.labels, targets, probabilities_of(val), target_recall=0.95, split="val")
    own = card.fingerprint.model_copy(update={"dataset_hash": dataset.content_hash()})
    named = {"positive": dataset.info.positive, "threshold": point.threshold, "fingerprint": own}
    run.write_card(card.model_copy(update=named))
    write_predictions(run.predictions_path("val"), decided_table(val, dataset.labels, point))


def metrics(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.metrics_path("test").read_text())
    return content


@pytest.mark.parametrize("positive", ["malignant", "benign,malignant"])
def test_the_threshold_in_the_model_decides_in_the_table_and_in_the_figures(
    studies: dict[str, Run], positive: str
) -> None:
    run, ill = studies[positive], positive.split(",")
    threshold, found = run.read_card().threshold, metrics(run)
    assert threshold is not None
    assert (threshold.split, threshold.target_recall) == ("val", 0.95)
    assert found["threshold"] == threshold.model_dump(mode="json")
    table = pd.read_csv(run.predictions_path("test"))
    score = table[[f"prob_{name}" for name in ill]].sum(axis=1)
    called, truth = score >= threshold.value, table["y_true"].isin(ill)
    assert (called == (table["decision"] == "positive")).all()
    assert found["metrics"]["recall"]["value"] == pytest.approx(called[truth].mean())
    assert found["metrics"]["specificity"]["value"] == pytest.approx((~called[~truth]).mean())
    assert found["missed"] == {
        "count": int((truth & ~called).sum()),
        "of": int(truth.sum()),
        "ids": found["missed"]["ids"],
    }
    matrix = pd.crosstab(table["y_true"], table["y_pred"]).reindex(
        index=CLASSES, columns=CLASSES, fill_value=0
    )
    assert matrix.to_numpy().tolist() == found["confusion"]["matrix"]
    val = pd.read_csv(run.predictions_path("val"))
    on_val = val[[f"prob_{name}" for name in ill]].sum(axis=1)[val["y_true"].isin(ill)]
    assert (on_val >= threshold.value).mean() == pytest.approx(threshold.achieved_recall)
    assert (on_val >= threshold.value).mean() >= 0.95
    assert (on_val > threshold.value).mean() < 0.95


@pytest.mark.parametrize("positive", ["malignant", "benign,malignant"])
def test_predict_the_page_and_the_exported_file_decide_alike(
    studies: dict[str, Run],
    positive: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = studies[positive]
    root = run.folder.parent.parent
    table = pd.read_csv(run.predictions_path("test")).sort_values("path")
    files = [Workspace(root).absolute(path) for path in table["path"]]
    assert medimg(root, "predict", *files, "--out", str(tmp_path / "p.csv")) == 0
    predicted = pd.read_csv(tmp_path / "p.csv").sort_values("path")
    answered = predicted["status"].to_numpy() == "ok"
    assert answered.any()
    wanted = table["decision"].to_numpy()
    assert predicted["decision"][answered].tolist() == wanted[answered].tolist()
    assert predicted["y_pred"][answered].tolist() == table["y_pred"][answered].tolist()
    judge = open_classifier(run.folder)
    assert judge is not None
    options = judge.card.recipe.read_options
    of_page = [judge([judge.prepare(read_image(file, options))])[0] for file in files]
    assert [one.decision for one in of_page] == predicted["decision"].tolist()
    assert medimg(root, "export", "--out", str(tmp_path / "m.onnx")) == 0
    by_itself = []
    for file in files:
        monkeypatch.setattr(sys, "argv", ["run_onnx.py", str(tmp_path / "m.onnx"), file])
        capsys.readouterr()
        runpy.run_path(str(REPOSITORY / "examples" / "run_onnx.py"))
        by_itself.append({"True": "positive", "False": "negative"}[capsys.readouterr().err.strip()])
    assert by_itself == wanted.tolist()


def test_every_later_command_takes_several_positives(studies: dict[str, Run], tmp_path: Path) -> None:
    shutil.copytree(studies["benign,malignant"].folder.parent.parent, tmp_path / "study")
    root = tmp_path / "study"
    assert medimg(root, "report", "--out", str(tmp_path / "r.html")) == 0
    assert "benign,malignant" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert medimg(root, "label-audit", "--fail-on", "never") == 0
    assert medimg(root, "evaluate", "--target-recall", "0.6", "--keep-threshold") == 0
    kept = Run(root / "runs" / "first").read_card().threshold
    assert kept is not None
    assert kept.target_recall == 0.6
    assert metrics(Run(root / "runs" / "first"))["threshold"]["value"] == kept.value
