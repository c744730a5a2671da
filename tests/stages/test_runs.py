"""runs: the table of what was trained."""

from pathlib import Path

from medimg_cli.core.workspace import Workspace
from medimg_cli.stages.runs import runs


def test_a_run_is_listed_with_its_figures(trained: Workspace) -> None:
    (row,) = runs(trained)
    assert (row["run"], row["status"], row["epochs_run"]) == ("first", "complete", 6)
    assert 0 <= row["test_recall"] <= 1


def test_an_empty_workspace_has_none(tmp_path: Path) -> None:
    assert runs(Workspace(tmp_path)) == []
