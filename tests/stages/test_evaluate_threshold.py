"""evaluate: a threshold by any rule from validation, kept in the model on request, and what follows for patients."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medimg_cli.errors import ExitCode
from medimg_cli.runs.run import Run, Threshold
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


@pytest.fixture
def run(trained: Workspace, tmp_path: Path) -> Run:
    """Return a trained run that a test may change."""
    shutil.copytree(trained.root, tmp_path / "study")
    return find_run(Workspace(tmp_path / "study"), "first")


def evaluate(run: Run, *options: str) -> int:
    return medimg(run.folder.parent.parent, "evaluate", "first", *options)


def figures(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.metrics_path("test").read_text())
    return content


def of_val(run: Run, threshold: float) -> tuple[float, float]:
    """Return recall and specificity on validation, from its predictions."""
    table = pd.read_csv(run.predictions_path("val"))
    called, ill = table["prob_SPOT"] >= threshold, table["y_true"] == "SPOT"
    return float(called[ill].mean()), float((~called[~ill]).mean())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-specificity", "0.8"), "lowest threshold with specificity ≥ 0.8"),
        (("--youden",), "highest recall + specificity (Youden)"),
        (("--miss-cost", "20"), "least cost where a miss counts as 20 false alarms"),
        (
            ("--target-recall", "0.3", "--lower-bound"),
            "highest threshold whose recall's lower 95 % bound is ≥ 0.3",
        ),
    ],
)
def test_every_rule_chooses_on_validation(run: Run, options: tuple[str, ...], words: str) -> None:
    assert evaluate(run, *options) == ExitCode.DONE
    threshold = Threshold.model_validate(figures(run)["threshold"])
    assert (threshold.rule, threshold.split) == (words, "val")
    assert (threshold.achieved_recall, threshold.achieved_specificity) == of_val(run, threshold.value)


def test_two_rules_are_wrong_usage(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(run, "--target-recall", "0.9", "--youden") == ExitCode.USAGE
    assert "one rule chooses the threshold: leave out this one or --target-recall" in capsys.readouterr().err


def test_a_bound_that_validation_is_too_small_for_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(run, "--target-recall", "0.99", "--lower-bound") == ExitCode.DATA
    assert "the lower bound of recall cannot reach 0.99" in capsys.readouterr().err


def test_a_threshold_is_kept_only_when_asked_to(run: Run) -> None:
    before = run.card_path.read_bytes()
    assert evaluate(run, "--target-specificity", "0.5") == ExitCode.DONE
    assert run.card_path.read_bytes() == before
    assert evaluate(run, "--target-specificity", "0.5", "--keep-threshold") == ExitCode.DONE
    kept = run.read_card().threshold
    assert kept is not None and kept.target_specificity == 0.5
    assert run.read_record().val["recall_at_threshold"] == kept.achieved_recall
    assert evaluate(run) == ExitCode.DONE
    assert Threshold.model_validate(figures(run)["threshold"]) == kept


def test_predict_decides_by_the_threshold_that_was_kept(run: Run, tmp_path: Path) -> None:
    evaluate(run, "--target-specificity", "0.1", "--keep-threshold")
    kept = run.read_card().threshold
    study, out = run.folder.parent.parent, tmp_path / "answers.csv"
    assert medimg(study, "predict", str(study / "raw"), "--out", str(out)) == ExitCode.DONE
    answers = pd.read_csv(out)
    assert kept is not None
    answered = answers[answers["status"] == "ok"]  # what is refused is decided by no threshold
    assert len(answered) > len(answers) / 2
    assert ((answered["prob_SPOT"] >= kept.value) == (answered["decision"] == "positive")).all()


def test_trade_offs_prevalences_and_patients_stand_in_the_figures_and_on_the_screen(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(run, "--prevalence", "0.01,0.1") == ExitCode.DONE
    content, shown = figures(run), capsys.readouterr().out
    of_class = content["operating"]["by_class"]["SPOT"]
    assert [each["prevalence"] for each in of_class["at_prevalences"]][1:] == [0.01, 0.1]
    highest = content["patient_level"]["levels"][0]
    assert highest["n"] == content["patients"] < content["n"]
    assert "specificity at recall 0.99" in shown and "0.01" in shown
    recall = f"by the highest probability of their images {highest['metrics']['recall']['value']:.4f}"
    assert f"recall of SPOT by patient: {recall}" in shown
