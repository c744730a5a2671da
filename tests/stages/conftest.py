"""What several tests of stages share."""

from pathlib import Path

import pytest

from tests.stages.bad_input import Ingest, Outcome


@pytest.fixture
def ingest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ingest:
    def call(*arguments: object, workspace: Path | None = None) -> Outcome:
        return Outcome(workspace or tmp_path / "study", capsys, *(str(argument) for argument in arguments))

    return call
