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
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


@pytest.fixture
def run(trained: Workspace, tmp_path: Path) -> Run:
    """Return a trained run that a test may change."""
    shutil.copytree(trained.root, tmp_path / "study")
    return find_run(Workspace(tmp_path / "study"), "first")


def evaluate(run: Run, *options: str) -> int:
    return medimg(run.folder.parent.parent, "evaluate", "first", *options)


def figures(run: Run, below: str = "") -> dict[str, Any]:
    """Return the run's own evaluation, or the exploration of that name."""
    folder = run.folder / "explorations" / below if below else run.folder
    content: dict[str, Any] = json.loads((folder / "metrics-test.json").read_text())
    return content


def of_val(run: Run, threshold: float) -> tuple[float, float]:
    """Return recall and specificity on validation, from its predictions."""
    table = pd.read_csv(run.predictions_path("val"))
    called, ill = table["prob_SPOT"] >= threshold, table["y_true"] == "SPOT"
    return float(called[ill].mean()), float((~called[~ill]).mean())


@pytest.mark.parametrize(
    ("options", "words", "folder"),
    [
        (
            ("--target-specificity", "0.8"),
            "lowest threshold with specificity ≥ 0.8",
            "lowest-threshold-with-specificity-0.8",
        ),
        (("--youden",), "highest recall + specificity (Youden)", "highest-recall-specificity-youden"),
        (
            ("--miss-cost", "20"),
            "least cost where a miss counts as 20 false alarms",
            "least-cost-where-a-miss-counts-as-20-false-alarms",
        ),
        (
            ("--target-recall", "0.3", "--lower-bound"),
            "highest threshold whose recall's lower 95 % bound is ≥ 0.3",
            "highest-threshold-whose-recall-s-lower-95-bound-is-0.3",
        ),
        (
            ("--target-recall", "0.3", "--assurance", "0.9"),
            "highest threshold whose recall reaches 0.3 with probability 0.9",
            "highest-threshold-whose-recall-reaches-0.3-with-probability-0.9",
        ),
    ],
)
def test_every_rule_chooses_on_validation_and_stands_beside(
    run: Run, options: tuple[str, ...], words: str, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    assert evaluate(run, *options) == ExitCode.DONE
    assert "an exploration: the model's own threshold" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()} == before
    threshold = Threshold.model_validate(figures(run, folder)["threshold"])
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
    assert "Sensitivity of at least 99.0 %" in shown and "1.0 %" in shown
    (row,) = (line for line in shown.splitlines() if line.startswith("highest probability of their images"))
    assert f"{len(highest['missed'])} of {highest['positives']}" in row


def test_what_is_explored_never_becomes_the_report_or_the_model(run: Run, tmp_path: Path) -> None:
    study, own = run.folder.parent.parent, run.read_card().threshold
    assert own is not None
    assert evaluate(run, "--miss-cost", "20") == ExitCode.DONE
    assert medimg(study, "report", "--out", str(tmp_path / "r.html")) == ExitCode.DONE
    assert f"{own.value:.3f}" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert figures(run)["threshold"]["value"] == own.value
    assert figures(run)["exploration"] == ""
    explored = next((run.folder / "explorations").iterdir())
    table = pd.read_csv(explored / "predictions-test.csv")
    beside = json.loads((explored / "metrics-test.json").read_text())
    assert "--keep-threshold" in beside["exploration"]
    matrix = pd.crosstab(table["y_true"], table["y_pred"]).reindex(
        index=beside["classes"], columns=beside["classes"], fill_value=0
    )
    assert matrix.to_numpy().tolist() == beside["confusion"]["matrix"]


def test_an_evaluation_of_an_earlier_version_under_another_rule_is_not_reported(
    run: Run, tmp_path: Path
) -> None:
    content = figures(run)
    content["asked"] |= {"miss_cost": 20.0, "target_recall": None}
    content["threshold"] |= {"value": 0.0191, "rule": "least cost where a miss counts as 20 false alarms"}
    run.metrics_path("test").write_text(json.dumps(content))
    assert medimg(run.folder.parent.parent, "report", "--out", str(tmp_path / "r.html")) == ExitCode.DONE
    own = run.read_card().threshold
    assert own is not None
    assert figures(run)["threshold"]["value"] == own.value
    assert "0.0191" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_kept_threshold_also_decides_in_the_predictions_of_validation(run: Run) -> None:
    assert evaluate(run, "--target-recall", "0.5", "--keep-threshold") == ExitCode.DONE
    kept, val = run.read_card().threshold, pd.read_csv(run.predictions_path("val"))
    assert kept is not None
    assert ((val["prob_SPOT"] >= kept.value) == (val["decision"] == "positive")).all()
    assert (val["y_pred"] == "SPOT").equals(val["decision"] == "positive")
    assert figures(run)["threshold"]["value"] == kept.value


def test_every_look_at_test_is_in_the_ledger_and_counted(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Workspace(run.folder.parent.parent).looks_path
    before = ledger.read_text()
    own = len(before.splitlines()) - 1
    assert own >= 1  # what the fixture, and tests that share it, looked at
    assert evaluate(run) == ExitCode.DONE  # up to date: nothing new is seen
    assert ledger.read_text() == before
    assert evaluate(run, "--split", "val") == ExitCode.DONE
    assert ledger.read_text() == before
    for options in (("--youden",), ("--miss-cost", "3"), ("--prevalence", "0.2")):
        assert evaluate(run, *options) == ExitCode.DONE
    assert ledger.read_text().startswith(before)
    capsys.readouterr()
    assert evaluate(run, "--target-recall", "0.4", "--json") == ExitCode.DONE
    looks = json.loads(capsys.readouterr().out)["looks"]
    rows = pd.read_csv(ledger)
    assert looks["before"] == own + 3 == len(rows) - 1
    assert looks["runs"] == 1
    assert looks["configurations"] == rows["threshold"].iloc[:-1].nunique()
    assert rows["rule"].iloc[own] == "highest recall + specificity (Youden)"
    assert rows["images_hash"].nunique() == 1


def test_the_ledger_outlives_a_new_ingest_and_a_torn_one_is_said(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    study = run.folder.parent.parent
    ledger = Workspace(study).looks_path
    before = ledger.read_text()
    again = (
        "ingest",
        str(study / "raw"),
        "--positive",
        "SPOT",
        "--fresh",
        "--split",
        "0.4,0.3,0.3",
        "--seed",
        "5",
    )
    assert medimg(study, *again) == ExitCode.DONE
    assert ledger.read_text() == before
    for torn in (before[:-4], before.replace(",first,", ",worst,", 1)):
        ledger.write_text(torn)
        capsys.readouterr()
        assert evaluate(run, "--allow-leak") == ExitCode.DATA
        assert "test-looks.csv is not as medimg wrote it" in capsys.readouterr().err
    ledger.write_text("something else\n")
    assert evaluate(run, "--allow-leak") == ExitCode.DATA
    assert "test-looks.csv lacks the column" in capsys.readouterr().err
    assert ledger.read_text() == "something else\n"


def test_with_several_views_the_threshold_is_chosen_on_such_answers(run: Run) -> None:
    card = run.read_card()
    run.write_card(card.model_copy(update={"augment": "light"}))
    assert evaluate(run, "--tta") == ExitCode.DONE
    beside = json.loads((run.folder / "explorations" / "tta" / "metrics-test.json").read_text())
    assert beside["views"] > 1
    assert card.threshold is not None
    assert beside["threshold"]["rule"] == card.threshold.rule
    assert beside["threshold"]["split"] == "val"
    assert beside["threshold"]["achieved_recall"] >= 0.95
    assert beside["threshold"]["value"] != card.threshold.value
    assert any("was chosen on such means too" in each for each in beside["warnings"])
    kept = run.read_card()
    assert kept.threshold == card.threshold
    assert kept.over_views is not None and kept.over_views.threshold is not None
    assert kept.over_views.threshold.value == beside["threshold"]["value"]
    decided = predictor_of(run, tta=True).card.threshold
    assert decided == kept.over_views.threshold
    assert predictor_of(run).card.threshold == card.threshold
    assert evaluate(run, "--tta", "--youden") == ExitCode.DONE
    assert run.read_card() == kept
    assert evaluate(run, "--tta", "--youden", "--keep-threshold") == ExitCode.DONE
    again = run.read_card().over_views
    assert again is not None and again.threshold is not None
    assert again.threshold.rule == "highest recall + specificity (Youden)"
    assert run.read_card().threshold == card.threshold


def test_figures_at_another_threshold_than_the_model_s_are_not_told_as_its_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = run.folder.parent.parent
    assert evaluate(run, "--split", "val", "--target-recall", "0.4", "--keep-threshold") == ExitCode.DONE
    capsys.readouterr()
    assert medimg(study, "runs", "--json") == ExitCode.DONE
    row = json.loads(capsys.readouterr().out)["runs"][0]
    assert row["test"] == {}  # test was measured at the threshold before
    assert medimg(study, "bundle", "first", "--out", str(tmp_path / "b.zip"), "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["model_card"] is False
    assert evaluate(run) == ExitCode.DONE
    capsys.readouterr()
    assert medimg(study, "runs", "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["runs"][0]["test"]["recall"] is not None
