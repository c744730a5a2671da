"""medimg runs: what people and scripts see of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.files import under_seal
from medimg_cli.workspace.workspace import Workspace
from tests.stages.test_runs import OTHER_DATA, copy_run, edit


class Study:
    """A workspace with the runs first and second, and what `medimg runs` says about it."""

    def __init__(self, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace, self._capsys = workspace, capsys

    def says(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Return what a call writes to stdout and stderr."""
        assert run(["runs", *arguments, "--workspace", str(self.workspace.root)]) == code
        told = self._capsys.readouterr()
        return told.out, told.err

    def tells(self, *arguments: str) -> dict[str, Any]:
        out, _ = self.says(*arguments, "--json")
        content: dict[str, Any] = json.loads(out)
        return content

    def folder(self, name: str) -> Run:
        return Run(self.workspace.runs_dir / name)


@pytest.fixture
def study(trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Study:
    workspace = Workspace(tmp_path / "study")
    shutil.copytree(trained.runs_dir, workspace.runs_dir)
    edit(workspace.runs_dir / "first" / "run.json", val={"auroc": 0.8, "f1": 0.5})
    copy_run(workspace, "second", val={"auroc": 0.9, "f1": 0.25})
    return Study(workspace, capsys)


def test_the_table_has_a_line_for_every_run_also_a_damaged_one(study: Study) -> None:
    study.folder("first").record_path.write_text("{")
    out, err = study.says()
    header, second, first, _, remark = out.splitlines()
    assert header.split()[:4] == ["run", "status", "arch", "seed"]
    assert second.split()[:3] == ["second", "complete", "small-cnn"]
    assert " to " in second
    assert first.split()[:3] == ["first", "damaged", "–"]
    assert remark.startswith("first: run.json cannot be read")
    assert err == ""


def test_a_training_that_is_not_over_says_how_to_go_on(study: Study) -> None:
    edit(study.folder("second").record_path, status="interrupted")
    study.folder("second").state_path.touch()
    out, _ = study.says()
    assert "second: not over; `medimg train --resume second` goes on with it" in out


def test_a_metric_that_sorts_is_shown(study: Study) -> None:
    lines = study.says("--sort", "f1")[0].splitlines()
    assert lines[0].endswith("val f1")
    assert [line.split()[0] for line in lines[1:3]] == ["first", "second"]
    assert lines[1].endswith("0.5000")


def test_a_narrow_terminal_leaves_out_columns_and_cuts_no_name(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.cli.views.render._PIPE_WIDTH", 80)
    out, _ = study.says()
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "no room for arch, seed" in out


def test_the_best_is_one_name_that_a_report_takes(study: Study) -> None:
    study.folder("first").record_path.write_text("{")  # a neighbour that cannot be read
    out, err = study.says("--best", "auroc")
    assert out == "second\n"
    assert err.startswith("warning: first is left out: run.json cannot be read")
    assert study.says("--best", "auroc", "-q") == ("second\n", "")
    assert find_run(study.workspace, out.strip()).name == "second"


def test_without_a_figure_there_is_no_best(study: Study) -> None:
    for name in ("first", "second"):
        study.folder(name).metrics_path("test").unlink()
    out, err = study.says("--best", "auroc", "--split", "test", code=ExitCode.RUN)
    assert out == ""
    assert err.splitlines()[0] == "error: no run has a figure 'auroc' on test"


def test_unlike_test_data_are_warned_of_on_stderr_and_in_json(study: Study) -> None:
    edit(study.folder("second").metrics_path("test"), dataset_hash=OTHER_DATA)
    assert "warning: these runs rest on 2 different test data" in study.says()[1]
    (warning,) = study.tells("--diff", "first", "second")["warnings"]
    assert "(first | second)" in warning
    assert study.tells("--sort", "auroc")["warnings"] == []


def test_a_difference_is_drawn_and_told(study: Study) -> None:
    config = study.folder("second").config_path
    _, text = config.read_text().split("\n", 1)
    config.write_text(under_seal(text.replace("batch_size: 8\n", "batch_size: 16\n", 1)))
    lines = study.says("--diff", "first", "second")[0].splitlines()
    assert lines[0].split() == ["differs", "first", "second"]
    assert lines[1].split() == ["train.batch_size", "8", "16"]
    assert lines[3].startswith("the same: data of training")
    assert ["auroc", "0.8000", "0.9000", "+0.1000"] in [line.split() for line in lines]
    content = study.tells("--diff", "first", "second")
    assert content["diff"]["settings"] == {"train.batch_size": [8, 16]}
    assert [row["run"] for row in content["runs"]] == ["first", "second"]


@pytest.mark.parametrize(("arguments", "terminal"), [([], False), (["--json"], False), (["--json"], True)])
def test_nothing_is_removed_where_nobody_can_be_asked(
    study: Study, arguments: list[str], terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    out, err = study.says("--remove", "first", *arguments, code=ExitCode.USAGE)
    assert out == ""
    assert err.splitlines()[1] == "hint: add --yes"
    assert study.folder("first").card_path.is_file()


def test_a_removal_says_what_it_freed(study: Study) -> None:
    size = study.tells()["runs"][0]["size_bytes"]
    content = study.tells("--remove", "first", "--yes")
    assert content["removed"] == [{"run": "first", "bytes": size}]
    assert [row["run"] for row in content["runs"]] == ["second"]
    assert study.says("--remove", "second", "--yes")[0].startswith("removed second: ")
    assert study.says()[0] == "no run here: `medimg train` makes one\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", ["second"]), ("n\n", ["first", "second"])])
def test_a_terminal_is_asked(
    study: Study, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return answer == "y\n"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", confirm)
    out, _ = study.says("--remove", "first")
    assert asked[0].startswith("Delete first (")
    assert sorted(path.name for path in study.workspace.runs_dir.iterdir()) == left
    assert out.startswith("removed first" if answer == "y\n" else "nothing was removed")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--sort", "auroc", "--best", "auroc"], "--sort and --best contradict each other"),
        (["--diff", "first", "second", "--remove", "first"], "--diff and --remove contradict each other"),
        (["--split", "test"], "--split says whose figures"),
        (["--yes"], "--yes answers what --remove asks"),
        (["--sort", "aurok"], "no metric 'aurok' on val"),
    ],
)
def test_options_that_say_nothing_together_are_refused(study: Study, arguments: list[str], what: str) -> None:
    _, err = study.says(*arguments, code=ExitCode.USAGE)
    assert err.startswith(f"error: {what}")
