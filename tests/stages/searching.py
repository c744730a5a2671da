"""Searches for the tests of tune: in tiny images, one epoch a trial."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.runs.run_folders import Search
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.tune import TuneResult, settings_to_resume, tune
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg


def searched(workspace: Workspace, listener: SilentProgress | None = None, **options: object) -> TuneResult:
    """Search in the cohort of tiny images: 8 px a side, one epoch a trial where nothing else is said."""
    train: dict[str, Any] = {"batch_size": 16}
    quick = {"epochs": 1, "trials": 3, "pruner": "none"}
    settings = Settings.model_validate({"train": train, "preprocess": {"size": 8}, "tune": quick | options})
    return tune(workspace, settings, pixels_in(workspace), listener or SilentProgress())


def pixels_in(workspace: Workspace) -> Callable[[Settings], Any]:
    return lambda wanted: (
        preprocess(workspace, wanted.preprocess, train=wanted.train, splits=("train", "val")).cache
    )


def gone_on(workspace: Workspace, search: Search, **options: Any) -> TuneResult:
    settings = settings_to_resume(search, **({"trials": None, "time_limit": None} | options))
    return tune(workspace, settings, pixels_in(workspace), resume=search)


def told(result: TuneResult) -> list[tuple[object, ...]]:
    """Return what was tried and what came of it, without the time it took."""
    return [(one.state, one.value, *one.settings.values()) for one in result.trials]


class Listener(SilentProgress):
    def __init__(self, stop_at: str = "") -> None:
        self.notes: list[str] = []
        self._stop_at = stop_at

    def note(self, message: str) -> None:
        self.notes.append(message)

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
        if self._stop_at and task.startswith(self._stop_at):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ingested")
    raw = str(draw_cohort(folder / "raw"))
    assert medimg(folder, "ingest", raw, "--positive", "SPOT", "--patient-regex", r"(patient\d+)") == 0
    return folder


@pytest.fixture
def workspace(ingested: Path, tmp_path: Path) -> Workspace:
    """Return a fresh copy of one ingested workspace: many searches begin from it."""
    return Workspace(Path(shutil.copytree(ingested, tmp_path / "study")))
