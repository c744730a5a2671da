"""Further logs of a training: TensorBoard and MLflow. `history.csv` is written in any case."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medimg_cli.errors import MachineError
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import TrainSettings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
_EXPERIMENT = "medimg"
_STATUS = {"complete": "FINISHED", "interrupted": "KILLED"}


class Tracker(Protocol):
    """What a training tells of itself while it runs."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """One more epoch is over; `row` is its line of the history."""

    def finish(self, record: RunRecord) -> None:
        """Training is over; a record that is still "running" is one that failed."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers whose package is not installed, before anything is computed.

    Raises:
        MachineError: one is missing.
    """
    for name in names:
        if find_spec(_PACKAGES[name]) is None:
            raise MachineError(
                f"--track {name} needs a package that is not installed", "pip install 'medimg[track]'"
            )


def open_trackers(settings: TrainSettings, run: Run, root: Path, done: int, progress: Progress) -> Tracker:
    """Return those that `settings.track` names, as one that never stops the training.

    Args:
        run: TensorBoard's files go into its folder.
        root: the workspace, where MLflow's files go unless MLFLOW_TRACKING_URI names a server.
        done: epochs that a resumed training has logged already.
        progress: warned when one of them fails.
    """
    openers: dict[str, Callable[[], Tracker]] = {
        "tensorboard": lambda: TensorBoard(run.folder / "tensorboard", done),
        "mlflow": lambda: MLflow(run, settings, root),
    }
    return _Unfailing({name: openers[name] for name in settings.track}, progress)


class _Unfailing:
    """Several trackers; one that fails is warned of once and not used again."""

    def __init__(self, openers: Mapping[str, Callable[[], Tracker]], progress: Progress) -> None:
        self._progress = progress
        self._trackers: dict[str, Tracker] = {}
        for name, opener in openers.items():
            self._try(name, lambda name=name, opener=opener: self._trackers.__setitem__(name, opener()))  # type: ignore[misc]

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, tracker in list(self._trackers.items()):
            self._try(name, lambda tracker=tracker: tracker.epoch(row))  # type: ignore[misc]

    def finish(self, record: RunRecord) -> None:
        for name, tracker in list(self._trackers.items()):
            self._try(name, lambda tracker=tracker: tracker.finish(record))  # type: ignore[misc]

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a foreign server does, it must not cost a training
            self._trackers.pop(name, None)
            reason = " ".join(str(error).split()) or type(error).__name__
            self._progress.warn(f"{name} is told no more of this training: {reason}")


class TensorBoard:
    """Events in TensorBoard's format, one scalar for each figure of an epoch.

    Args:
        folder: where the event files go.
        done: epochs whose events are there already; what a killed training wrote after them is void.
    """

    def __init__(self, folder: Path, done: int) -> None:
        # An optional package, and only here.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, value in _figures(row).items():
            self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def finish(self, record: RunRecord) -> None:  # noqa: ARG002 -- the scalars say it all
        self._writer.close()


class MLflow:
    """A run of MLflow's, with the settings as parameters and the history as metrics; a resumed one goes on.

    It goes to the server of MLFLOW_TRACKING_URI, else to files below the workspace's `mlruns`. Neither user nor
    host nor path is logged, and nothing is sent anywhere else.
    """

    def __init__(self, run: Run, settings: TrainSettings, root: Path) -> None:
        self._client = _mlflow_client(root)
        remembered = run.folder / "mlflow-run.txt"
        if remembered.is_file():
            self._id = remembered.read_text(encoding="ascii").strip()
            self._client.update_run(self._id, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(_EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(_EXPERIMENT)
        self._id = self._client.create_run(experiment, run_name=run.name).info.run_id
        write_text(remembered, self._id + "\n")
        for name, value in _parameters(settings).items():
            self._client.log_param(self._id, name, value)

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, value in _figures(row).items():
            self._client.log_metric(self._id, name, value, step=int(row["epoch"]))

    def finish(self, record: RunRecord) -> None:
        if record.best_epoch is not None:
            self._client.log_metric(self._id, "best_epoch", record.best_epoch)
        self._client.set_terminated(self._id, _STATUS.get(record.status, "FAILED"))


def _mlflow_client(root: Path) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when it is imported
    # A server that does not answer must not hold a training up: by itself MLflow tries for minutes at every call.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        # Files need no database library; newer versions of MLflow ask that they be wanted.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # An optional package, and only here.
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=named or (root / "mlruns").as_uri())


def _parameters(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings; of a file of weights its name alone, for folders are named after people."""
    values = settings.model_dump(mode="json", exclude={"name", "track"})
    return {**values, "weights": Path(settings.weights).name}


def _figures(row: Mapping[str, float]) -> dict[str, float]:
    """Return what of a history's line is a number; an undefined figure has no point."""
    return {name: value for name, value in row.items() if name != "epoch" and math.isfinite(value)}
