"""Several labels an image, and grades: from a table to a report."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.predictions.predictions import probabilities_of
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

pytestmark = pytest.mark.usefixtures("weights_only")

SIDE_PX = 16
QUICK = (
    "--batch-size",
    "8",
    "--augment",
    "none",
    "--set",
    "preprocess.size=16",
    "--set",
    "train.precision=fp32",
)


def draw_findings(folder: Path) -> Path:
    """Write 80 images of 40 patients with bars and dots, and a table with labels left open, one class by -1."""
    generator = np.random.default_rng(3)
    lines = ["file,patient,bar,dot"]
    (folder / "raw").mkdir(parents=True)
    for number in range(80):
        pixels = generator.normal(90, 10, (SIDE_PX, SIDE_PX))
        bar, dot = generator.random(2) < 0.45
        if bar:
            pixels[5:8] += 90
        if dot:
            pixels[10:14, 3:7] -= 80
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "raw" / f"{number}.png")
        cells = [str(int(bar)), str(int(dot))]
        if number % 10 == 0:
            cells[number // 10 % 2] = "-1"
        lines.append(f"{number}.png,p{number // 2},{','.join(cells)}")
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "raw"


def ingested(folder: Path, *options: str) -> Workspace:
    table = ("--labels", str(folder / "t.csv"), "--split", "0.5,0.25,0.25", *options)
    assert medimg(folder / "w", "ingest", str(draw_findings(folder)), "--multi-label", *table) == 0
    return Workspace(folder / "w")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = ingested(tmp_path_factory.mktemp("findings"))
    assert medimg(workspace.root, "train", "--epochs", "12", "--name", "first", *QUICK) == 0
    assert medimg(workspace.root, "evaluate") == 0
    return workspace


def test_several_labels_are_learnt_and_called_at_their_own_thresholds(findings: Workspace) -> None:
    run = find_run(findings, "first")
    card = run.read_card()
    assert (card.answers, card.threshold, set(card.thresholds)) == ("sigmoid", None, {"bar", "dot"})
    assert run.read_record().val["auroc"] > 0.9  # type: ignore[operator]
    table = pd.read_csv(run.predictions_path("val"), dtype=str, keep_default_na=False)
    for name in ("bar", "dot"):
        called = table[f"prob_{name}"].astype(float) >= card.thresholds[name].value
        assert called.tolist() == [name in answer.split("|") for answer in table["y_pred"]]
        recall = called[table[f"y_true_{name}"] == "1"].mean()
        assert card.thresholds[name].achieved_recall == pytest.approx(recall, abs=1e-12)
        assert recall >= 0.95
    assert "loss: bce" in run.config_path.read_text()


def test_labels_nobody_judged_are_counted_and_left_out(findings: Workspace) -> None:
    rows = read_dataset(findings).of_split("test")
    metrics = json.loads(find_run(findings, "first").metrics_path("test").read_text())
    unknown = [cell.split("|") for cell in rows["unknown"]]
    for name in ("bar", "dot"):
        left_out = sum(name in cell for cell in unknown)
        assert metrics["unknown_labels"][name] == left_out
        assert metrics["per_class"][name]["auroc"]["n"] == len(rows) - left_out
    assert sum(metrics["unknown_labels"].values()) > 0
    assert metrics["confusion"] is None
    assert metrics["metrics"]["macro_auroc"]["value"] > 0.8


def test_every_further_command_answers(findings: Workspace, tmp_path: Path) -> None:
    image = str(findings.root.parent / "raw" / "1.png")
    out = tmp_path / "p.csv"
    assert medimg(findings.root, "predict", image, "--out", str(out)) == 0
    row = pd.read_csv(out, dtype=str, keep_default_na=False).iloc[0]
    card = find_run(findings, "first").read_card()
    called = [name for name in card.classes if float(row[f"prob_{name}"]) >= card.thresholds[name].value]
    assert (row["y_pred"], row["decision"]) == ("|".join(called), "")
    page = tmp_path / "r.html"
    assert medimg(findings.root, "report", "--out", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert "The threshold of each label" in text
    assert "highest probability" not in text
    assert medimg(findings.root, "runs") == 0


def test_another_recall_moves_each_threshold(findings: Workspace) -> None:
    run = find_run(findings, "first")
    assert medimg(findings.root, "evaluate", "--target-recall", "0.5") == 0
    (explored,) = run.folder.glob("explorations/**/metrics-*.json")
    metrics = json.loads(explored.read_text())
    for name, threshold in run.read_card().thresholds.items():
        assert metrics["thresholds"][name]["target_recall"] == 0.5
        assert metrics["thresholds"][name]["value"] >= threshold.value
    assert medimg(findings.root, "evaluate") == 0


def test_the_same_labels_give_the_same_weights_and_others_do_not(findings: Workspace) -> None:
    for name in ("again", "focal"):
        loss = ("--loss", "focal") if name == "focal" else ()
        assert medimg(findings.root, "train", "--epochs", "1", "--name", name, *QUICK, *loss) == 0
    assert medimg(findings.root, "train", "--epochs", "1", "--name", "same", *QUICK) == 0
    again, focal, same = (
        find_run(findings, name).read_card().weights_sha256 for name in ("again", "focal", "same")
    )
    assert again == same != focal


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--loss", "ce"), "--loss ce knows one label an image"),
        (("--sampler", "weighted"), "--sampler weighted draws classes evenly"),
    ],
)
def test_what_contradicts_several_labels_is_one_line(
    findings: Workspace, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(findings.runs_dir.iterdir())
    assert medimg(findings.root, "train", *options) == 2
    assert said in capsys.readouterr().err
    assert list(findings.runs_dir.iterdir()) == before


def test_a_label_that_is_never_absent_cannot_be_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = ingested(tmp_path)
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    rows.loc[rows["label"].isin(["", "bar"]), "unknown"] = "dot"
    rows.to_csv(workspace.manifest_path, index=False)
    assert medimg(workspace.root, "train", "--epochs", "1") == 3
    assert "no image without 'dot' in the training split" in capsys.readouterr().err


def test_grades_are_learnt_in_their_order(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(96):
        grade = number % 3
        pixels = generator.normal(60, 10, (SIDE_PX, SIDE_PX))
        for bar in range(grade):
            pixels[3 + 6 * bar : 6 + 6 * bar] += 110
        target = tmp_path / "raw" / f"grade {grade}" / f"p{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target)
    assert medimg(tmp_path, "ingest", str(tmp_path / "raw"), "--split", "0.5,0.25,0.25") == 0
    assert medimg(tmp_path, "train", "--loss", "ordinal", "--epochs", "8", *QUICK) == 0
    assert medimg(tmp_path, "evaluate") == 0
    run = find_run(Workspace(tmp_path), None)
    assert run.read_card().answers == "ordinal"
    table = pd.read_csv(run.predictions_path("test"))
    scores = probabilities_of(table)
    assert np.allclose(scores.sum(axis=1), 1)
    called = scores @ np.arange(3)
    assert np.corrcoef(called, table["y_true"].str[-1].astype(int))[0, 1] > 0.9
