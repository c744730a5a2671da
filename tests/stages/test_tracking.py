"""Tracking: TensorBoard and MLflow are told what the history says, and can cost no training."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pandas as pd
import pytest

from medimg_cli.cli.app import run as medimg_run
from medimg_cli.errors import MachineError
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.training import tracking
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

pytestmark = pytest.mark.usefixtures("weights_only")

QUICK = ("--epochs", "2", "--batch-size", "8")


class Listener(SilentProgress):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a training reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def curves(run: Run) -> dict[str, list[tuple[int, Any]]]:
    """Return what TensorBoard itself reads: name → (step, value)."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def told_in(history: pd.DataFrame, name: str) -> list[tuple[int, Any]]:
    return list(zip(history["epoch"].astype(int), history[name], strict=True))


def near(points: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Return points that equal others but for the last bits: TensorBoard keeps 32."""
    return [(step, pytest.approx(value)) for step, value in points]


def quick(**options: object) -> Settings:
    return Settings(train=TrainSettings.model_validate({"epochs": 2, "batch_size": 8, **options}))


@pytest.mark.usefixtures("offline")
def test_tensorboard_reads_the_numbers_of_the_history(workspace: Workspace) -> None:
    pytest.importorskip("tensorboard")
    assert medimg(workspace.root, "train", *QUICK, "--track", "tensorboard") == 0
    run = find_run(workspace, None)
    history, found = pd.read_csv(run.history_path), curves(run)
    assert set(found) == set(history.columns) - {"epoch"}
    for name, points in found.items():
        assert points == near(told_in(history, name))


def test_a_resumed_training_goes_on_with_the_same_curves(workspace: Workspace) -> None:
    pytest.importorskip("tensorboard")

    class Impatient(SilentProgress):
        def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
            if task.startswith("epoch 2/"):
                raise KeyboardInterrupt

    cache, settings = preprocess(workspace, Settings().preprocess).cache, quick(track="tensorboard", epochs=3)
    stopped = train(workspace, settings, cache, Impatient()).run
    void = tracking.TensorBoard(
        stopped.folder / "tensorboard", 0
    )  # as told by a killed epoch that is repeated
    void.epoch({"epoch": 2.0, "train_loss": 99.0})
    void.finish(stopped.read_record())
    run = train(workspace, settings, cache, resume=stopped).run
    losses = curves(run)["train_loss"]
    assert losses == near(told_in(pd.read_csv(run.history_path), "train_loss"))


def test_tracking_leaves_the_weights_as_they_are(workspace: Workspace) -> None:
    pytest.importorskip("tensorboard")
    cache = preprocess(workspace, Settings().preprocess).cache
    runs = [train(workspace, quick(track=track, epochs=1), cache).run for track in ("", "tensorboard")]
    first, second = (run.read_card().weights_sha256 for run in runs)
    assert first == second


def test_a_missing_package_is_said_before_anything_is_computed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = preprocess(workspace, Settings().preprocess).cache
    monkeypatch.setattr(tracking, "find_spec", lambda _name: None)
    with pytest.raises(MachineError, match="--track mlflow") as caught:
        train(workspace, quick(track="mlflow"), cache)
    assert "medimg[track]" in caught.value.hint
    assert not workspace.runs_dir.exists()


def test_an_unknown_tracker_is_a_wrong_option(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg_run(["train", "--track", "wandb", "-C", str(workspace.root)]) == 2
    assert "--track" in capsys.readouterr().err


def test_a_tracker_that_fails_is_warned_of_once_and_costs_no_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    class Failing:
        def __init__(self, folder: Path, done: int) -> None: ...

        def epoch(self, row: Mapping[str, float]) -> None:
            told.append(row["epoch"])
            if row["epoch"] == 2:
                raise OSError("the disk\nis full")

        def finish(self, record: RunRecord) -> None:  # noqa: ARG002
            told.append(-1.0)

    monkeypatch.setattr(tracking, "TensorBoard", Failing)
    monkeypatch.setattr(tracking, "check_trackers", lambda _names: None)
    listener, cache = Listener(), preprocess(workspace, Settings().preprocess).cache
    monkeypatch.setattr("medimg_cli.stages.train.check_trackers", lambda _names: None)
    result = train(workspace, quick(track="tensorboard", epochs=3), cache, listener)
    assert told == [1.0, 2.0]
    assert result.epochs_run == 3
    about = [warning for warning in listener.warnings if "tensorboard" in warning]
    assert about == ["tensorboard is told no more of this training: the disk is full"]


class FakeClient:
    """Stands for MLflow's client: keeps what it is told."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.runs: list[str] = []
        self.ended: list[str] = []

    def get_experiment_by_name(self, _name: str) -> None: ...

    def create_experiment(self, name: str) -> str:
        return name

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        self.runs.append(f"{experiment}/{run_name}")
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def update_run(self, _run: str, status: str) -> None:
        self.runs.append(status)

    def log_param(self, _run: str, name: str, value: object) -> None:
        self.params[name] = value

    def log_metric(self, _run: str, name: str, value: float, step: int = 0) -> None:
        self.metrics.setdefault(name, []).append((step, value))

    def set_terminated(self, _run: str, status: str) -> None:
        self.ended.append(status)


def test_mlflow_is_told_settings_and_history_but_no_path(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient()
    monkeypatch.setattr(tracking, "_mlflow_client", lambda _root: client)
    monkeypatch.setattr("medimg_cli.stages.train.check_trackers", lambda _names: None)
    cache = preprocess(workspace, Settings().preprocess).cache
    run = train(workspace, quick(track="mlflow", name="told"), cache).run
    history = pd.read_csv(run.history_path)
    assert (client.runs, client.ended) == (["medimg/told"], ["FINISHED"])
    assert (client.params["batch_size"], client.params["seed"]) == (8, 0)
    assert client.metrics["val_auroc"] == near(told_in(history, "val_auroc"))
    settings = TrainSettings(weights="/home/somebody/vgg16.pth")
    assert tracking._parameters(settings)["weights"] == "vgg16.pth"


def test_mlflow_goes_on_with_the_run_of_a_resumed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient()
    monkeypatch.setattr(tracking, "_mlflow_client", lambda _root: client)
    for _ in range(2):
        tracking.MLflow(Run(tmp_path), TrainSettings(), tmp_path)
    assert client.runs == [f"medimg/{tmp_path.name}", "RUNNING"]


@pytest.mark.usefixtures("offline")
def test_mlflow_reads_the_numbers_of_the_history(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow-skinny (extra `track`, 90 MB with what it needs) is not installed")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST", "CI"):
        monkeypatch.delenv(name, raising=False)
    assert medimg(workspace.root, "train", *QUICK, "--track", "mlflow", "--name", "told") == 0
    run = find_run(workspace, "told")
    history = pd.read_csv(run.history_path)
    client, whose = (
        tracking._mlflow_client(workspace.root),
        (run.folder / "mlflow-run.txt").read_text().strip(),
    )
    found = client.get_run(whose)
    assert (workspace.root / "mlruns").is_dir()
    assert found.info.status == "FINISHED"
    assert (found.info.run_name, found.info.user_id) == ("told", "unknown")
    assert set(found.data.tags) == {"mlflow.runName"}
    assert found.data.params["batch_size"] == "8"
    points = [(metric.step, metric.value) for metric in client.get_metric_history(whose, "val_auroc")]
    assert points == near(told_in(history, "val_auroc"))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
