"""init: the settings file is complete, commented, and means the defaults."""

from pathlib import Path

import pytest
import yaml

from medimg_cli.errors import UsageError
from medimg_cli.stages.init import init
from medimg_cli.workspace.config import load_settings
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace


def test_the_file_changes_nothing_and_names_everything(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    text = init(workspace).read_text()
    assert load_settings(workspace) == Settings()
    for name in Settings.model_fields:
        section = getattr(Settings(), name)
        assert all(f"\n#  {key}: " in text for key in type(section).model_fields)


def test_uncommented_it_holds_the_defaults(tmp_path: Path) -> None:
    text = init(Workspace(tmp_path)).read_text()
    body = text.partition("\n#ingest:")[2]
    uncommented = "\n".join(line.removeprefix("#") for line in ("#ingest:" + body).splitlines())
    assert Settings.model_validate(yaml.safe_load(uncommented)) == Settings()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    init(Workspace(tmp_path))
    with pytest.raises(UsageError, match="exists already"):
        init(Workspace(tmp_path))
