"""Runs: found by name, by path, or the newest."""

from pathlib import Path

import pytest

from medimg_cli.errors import RunError, UsageError
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run, list_runs, new_run
from medimg_cli.workspace.workspace import Workspace


def test_runs_are_numbered_by_architecture(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    names = [new_run(workspace, arch=arch, name=None).name for arch in ("vgg16", "vgg16", "small-cnn")]
    assert names == ["vgg16-1", "vgg16-2", "small-cnn-1"]


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "a b", "CON", "nul.1", "run.", "x" * 101, "a\\b", "C:x"]
)
def test_a_run_name_is_a_plain_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a plain name"):
        new_run(Workspace(tmp_path), arch="x", name=name)


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    new_run(Workspace(tmp_path), arch="x", name="mine")
    with pytest.raises(UsageError, match="exists already"):
        new_run(Workspace(tmp_path), arch="x", name="mine")


def test_a_run_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def killed(made: Run) -> None:
        made.config_path.write_text("train: {}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_run(Workspace(tmp_path), arch="x", name="mine", fill=killed)
    assert list(Workspace(tmp_path).runs_dir.iterdir()) == []
    run = new_run(Workspace(tmp_path), arch="x", name="mine", fill=lambda made: made.log_path.write_text("a"))
    assert run.log_path.read_text() == "a"


def test_a_run_is_found_by_name_by_path_and_as_the_newest(trained: Workspace) -> None:
    by_name = find_run(trained, "first")
    assert by_name.folder == find_run(trained, str(by_name.folder)).folder == find_run(trained, None).folder
    assert [run.name for run in list_runs(trained)] == ["first"]


def test_an_unknown_run_gets_a_proposal(trained: Workspace) -> None:
    with pytest.raises(RunError) as caught:
        find_run(trained, "frist")
    assert caught.value.hint == "did you mean 'first'?"
    with pytest.raises(RunError, match=r"^sent\.zip is not there$"):
        find_run(trained, "sent.zip")


def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        find_run(Workspace(tmp_path), None)
    assert "medimg train" in caught.value.hint
    with pytest.raises(RunError) as caught:
        find_run(Workspace(tmp_path), "first")
    assert caught.value.hint == "known: none"
