"""Which folder is the workspace."""

from pathlib import Path

import pytest

from medimg_cli.workspace.workspace import Workspace, find_workspace


def test_the_nearest_settings_file_upwards_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDIMG_WORKSPACE", raising=False)
    (tmp_path / "medimg.yaml").write_text("")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_workspace().root == tmp_path
    (tmp_path / "medimg.yaml").unlink()
    assert find_workspace().root == below


def test_the_option_goes_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIMG_WORKSPACE", str(tmp_path / "named"))
    assert find_workspace().root == tmp_path / "named"
    assert find_workspace(tmp_path / "given").root == tmp_path / "given"


def test_paths_inside_are_relative_and_outside_absolute(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    assert workspace.relative(tmp_path / "w" / "raw" / "a.png") == "raw/a.png"
    assert workspace.relative(tmp_path / "elsewhere.png") == (tmp_path / "elsewhere.png").as_posix()
    assert workspace.absolute("raw/a.png") == (tmp_path / "w" / "raw" / "a.png").as_posix()
