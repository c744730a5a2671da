"""What several tests of stages share."""

from pathlib import Path

import pytest

from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.bad_input import Ingest, Outcome


@pytest.fixture
def ingest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ingest:
    def call(*arguments: object, workspace: Path | None = None) -> Outcome:
        return Outcome(workspace or tmp_path / "study", capsys, *(str(argument) for argument in arguments))

    return call


@pytest.fixture
def workspace(cohort: Path, tmp_path: Path) -> Workspace:
    assert (
        medimg(tmp_path, "ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)") == 0
    )
    return Workspace(tmp_path)
