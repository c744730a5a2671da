"""A study of exams from the images to figures: pooling and threshold go with the model, every later command uses them."""

import json
from pathlib import Path

import pytest

from medimg_cli.cli.app import run
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with a run that decides on patients with two images each."""
    folder = tmp_path_factory.mktemp("exams")
    raw = draw_cohort(folder / "raw")
    of_patients = ("--exam-col", "patient", "--patient-regex", r"(patient\d+)", "--split", "0.5,0.25,0.25")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("medimg_cli.training.train_run.AFTER_TRAINING", {})
        assert medimg(folder, "ingest", str(raw), "--positive", "SPOT", *of_patients) == 0
        assert (
            medimg(folder, "train", "--epochs", "2", "--batch-size", "8", "--size", "32", "--name", "one")
            == 0
        )
    return Workspace(folder)


def card_of(study: Workspace) -> ModelCard:
    return find_run(study, "one").read_card()


def evaluated(study: Workspace, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    capsys.readouterr()
    run(["evaluate", "one", "--json", "-q", "--workspace", str(study.root), *options])
    whole: dict[str, object] = json.loads(capsys.readouterr().out)
    return whole


def test_training_chooses_pooling_and_threshold_on_the_exams_of_validation(study: Workspace) -> None:
    card = card_of(study)
    assert card.exams is not None and card.exams.source == "patient"
    assert set(card.exams.auroc) == {"mean", "max", "top-3 mean", "noisy-or"}
    assert card.exams.threshold is not None and card.threshold is not None
    images, patients = card.exams.threshold.positives or (0, 0)
    assert images == patients and card.threshold.positives == (2 * images, patients)
    assert card.recipe.size_px == 32


def test_evaluate_tells_of_exams_again_from_what_it_wrote_and_asks_for_the_figures_of_exams(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = evaluated(study, capsys)
    exams = first["exams"]
    assert isinstance(exams, dict)
    assert exams["n"] == first["patients"] and exams["images"] == first["n"]
    assert exams["missed"]["of"] == exams["class_counts"]["SPOT"]
    assert sum(map(sum, exams["confusion"]["matrix"])) == exams["n"]
    again = evaluated(study, capsys)
    assert again["reused"] is True and again["exams"] == exams
    value = exams["metrics"]["accuracy"]["value"]
    assert evaluated(study, capsys, "--require", f"accuracy>={value}")["unmet"] == []


def test_a_rule_moves_the_threshold_of_exams_too(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    own = card_of(study).exams
    told = evaluated(study, capsys, "--target-specificity", "0.5")["exams"]
    assert isinstance(told, dict) and own is not None
    assert told["pooling"] == own.pooling and told["threshold"]["target_specificity"] == 0.5
    assert card_of(study).exams == own


def test_predict_groups_as_the_model_was_trained_only_where_that_can_be_told(
    study: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = study.root / "raw" / "SPOT"
    table = tmp_path / "exams.csv"
    names = sorted(path.name for path in images.iterdir())[:4]
    table.write_text("image,visit\n" + "".join(f"{name},{name[:10]}\n" for name in names))
    capsys.readouterr()
    inputs = [str(images / name) for name in names]
    run(
        [
            "predict",
            *inputs,
            "--run",
            "one",
            "--exam",
            f"{table}:visit",
            "--json",
            "-q",
            "-C",
            str(study.root),
        ]
    )
    told = json.loads(capsys.readouterr().out)
    assert [exam["images"] for exam in told["exams"]] == [2, 2]
    assert Run(study.runs_dir / "one").read_card().exams is not None
