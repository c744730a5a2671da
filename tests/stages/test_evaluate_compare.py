"""One run against another, or against a table of other software."""

import json
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.evaluation.evaluation import Evaluation, read_evaluation
from medimg_cli.predictions.operating_point import threshold_by
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.operating_settings import ThresholdRule
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with two runs that were not evaluated."""
    place = tmp_path_factory.mktemp("compared")
    draw_cohort(place / "raw")
    medimg(place, "ingest", str(place / "raw"), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    for name in ("one", "two"):
        seed = str(len(name) + ord(name[0]))
        assert (
            medimg(place, "train", "--epochs", "1", "--batch-size", "8", "--name", name, "--seed", seed) == 0
        )
    return place


def evaluation(place: Path, run: str) -> Evaluation:
    found = read_evaluation(find_run(Workspace(place), run), "test")
    assert found is not None
    return found


def test_the_other_run_is_evaluated_first_where_it_was_not(two_runs: Path) -> None:
    assert medimg(two_runs, "evaluate", "one", "--compare", "two") == 0
    compared = evaluation(two_runs, "one").comparison
    assert compared is not None and compared.against == "two"
    (auroc,) = [row for row in compared.differences if row.name == "auroc"]
    assert auroc.first == evaluation(two_runs, "one").metrics["auroc"].value
    assert auroc.second == evaluation(two_runs, "two").metrics["auroc"].value
    assert evaluation(two_runs, "two").comparison is None


def test_nothing_is_done_twice_until_the_other_answers_change(
    two_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = two_runs / "theirs.csv"
    own = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("test"))
    own.to_csv(table, index=False)
    reused = []
    for change in (0.0, 0.0, 0.01):
        own["prob_SPOT"] = (own["prob_SPOT"] + change).clip(0, 1)
        own["prob_CLEAR"] = 1 - own["prob_SPOT"]
        if change:
            own.to_csv(table, index=False)
        capsys.readouterr()
        assert medimg(two_runs, "evaluate", "one", "--compare", str(table), "--json", "-q") == 0
        reused.append(json.loads(capsys.readouterr().out)["reused"])
    assert reused == [False, True, False]


def test_answers_to_other_images_are_refused(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = two_runs / "fewer.csv"
    own = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("test"))
    own.loc[own.index[-1], "y_true"] = "CLEAR" if own["y_true"].iloc[-1] == "SPOT" else "SPOT"
    own.iloc[2:].to_csv(table, index=False)
    assert medimg(two_runs, "evaluate", "one", "--compare", str(table)) == 3
    said = capsys.readouterr().err
    assert "2 images only here, 0 only there, 1 with another reference standard" in said


def test_a_run_that_is_not_there_is_named(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medimg(two_runs, "evaluate", "one", "--compare", "three") != 0
    assert "three" in capsys.readouterr().err


def test_the_difference_is_shown_before_the_test(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medimg(two_runs, "evaluate", "one", "--compare", "two") == 0
    (head,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Figure ")]
    assert head.index("Difference") < head.index("p, Holm")


def test_both_models_are_under_one_rule_and_it_is_told(
    two_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medimg(two_runs, "evaluate", "two")
    own = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("test"))
    val = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("val"))
    pd.concat([own, val]).to_csv(two_runs / "validated.csv", index=False)
    own.to_csv(two_runs / "plain.csv", index=False)
    rule = evaluation_of(two_runs, "--compare", "two", capsys)
    assert rule.startswith("each at its own threshold, chosen on its validation: ")
    at_own = evaluation(two_runs, "one").comparison
    assert evaluation_of(two_runs, "--compare", str(two_runs / "validated.csv"), capsys) == rule
    from_table = evaluation(two_runs, "one").comparison
    assert at_own is not None and from_table is not None and from_table.differences == at_own.differences
    said = evaluation_of(two_runs, "--compare", str(two_runs / "plain.csv"), capsys)
    assert "matched" in said and "of plain.csv it has no answers to validation" in said
    matched = evaluation(two_runs, "one").comparison
    assert matched is not None
    rows = {row.name: row for row in matched.differences}
    assert rows["recall"].second is not None and rows["recall"].first is not None
    assert rows["recall"].second >= rows["recall"].first
    assert rows["auroc"].second == {row.name: row for row in at_own.differences}["auroc"].second


def evaluation_of(place: Path, option: str, named: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the rule as JSON has it, after the terminal said the same."""
    capsys.readouterr()
    assert medimg(place, "evaluate", "one", option, named) == 0
    shown = capsys.readouterr().out
    assert medimg(place, "evaluate", "one", option, named, "--json", "-q") == 0
    rule: str = json.loads(capsys.readouterr().out)["comparison"]["rule"]
    assert rule and rule in shown
    return rule


def test_another_rule_asked_for_here_holds_for_the_other_model_too(
    two_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medimg(two_runs, "evaluate", "two")
    capsys.readouterr()
    asked = ("--target-specificity", "0.9", "--compare", "two", "--json", "-q")
    assert medimg(two_runs, "evaluate", "one", *asked) == 0
    told = json.loads(capsys.readouterr().out)["comparison"]
    val = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("val"))
    test = pd.read_csv(find_run(Workspace(two_runs), "two").predictions_path("test"))
    truth = (val["y_true"] == "SPOT").to_numpy()
    point = threshold_by(ThresholdRule("specificity", 0.9), truth, val["prob_SPOT"].to_numpy(), split="val")
    assert "lowest threshold with specificity ≥ 0.9" in told["rule"]
    specificity = next(row["second"] for row in told["differences"] if row["name"] == "specificity")
    healthy = test[test["y_true"] == "CLEAR"]
    assert specificity == pytest.approx((healthy["prob_SPOT"] < point.value).mean())


def test_a_threshold_asked_for_here_is_not_the_other_ones(two_runs: Path) -> None:
    assert medimg(two_runs, "evaluate", "two") == 0
    before = evaluation(two_runs, "two")
    assert medimg(two_runs, "evaluate", "one", "--target-recall", "0.5", "--compare", "two") == 0
    assert evaluation(two_runs, "two") == before


def test_a_table_is_compared_with_a_table(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medimg(two_runs, "evaluate", "one", "--compare", "two") == 0
    compared = evaluation(two_runs, "one").comparison
    own, other = (str(find_run(Workspace(two_runs), run).predictions_path("test")) for run in ("one", "two"))
    out = two_runs / "one.metrics.json"
    asked = ("evaluate", "--predictions", own, "--positive", "SPOT", "--out", str(out))
    assert medimg(two_runs, *asked, "--compare", other) == 0
    found = json.loads(out.read_text())["comparison"]
    assert compared is not None
    by_name = {row["name"]: row["difference"] for row in found["differences"]}
    (auroc,) = [row for row in compared.differences if row.name == "auroc"]
    assert by_name["auroc"]["value"] == auroc.difference.value
    assert found["same_images"] == compared.same_images
    assert medimg(two_runs, *asked, "--compare", "two") == 2
    assert "a table is compared with a table" in capsys.readouterr().err
