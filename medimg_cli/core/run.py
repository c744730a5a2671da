"""A run: one folder with the model, how it came to be, and what it answered."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from medimg_cli.core.files import read_json, write_json
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.registry import did_you_mean

Artefact = TypeVar("Artefact", bound=BaseModel)
HeadKind = Literal["own", "pooled"]
"""A network's own head, or average, dropout and one layer in its place: see `learning.backbone.pool_head`."""


class Threshold(BaseModel):
    """The operating point: positive when the probability of the positive class is at least `value`.

    Args:
        rule: how it was chosen, in words.
        split: the split it was chosen on; never test.
        achieved_recall: recall on that split at `value`.
        achieved_specificity: specificity there.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    rule: str
    split: str
    target_recall: float
    achieved_recall: float
    achieved_specificity: float | None


class Normalisation(BaseModel):
    """Per channel, in units of 0..1 pixels, measured on the training split."""

    model_config = ConfigDict(frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Fingerprint(BaseModel):
    """What a model was trained on."""

    model_config = ConfigDict(frozen=True)

    dataset_hash: str
    train_images: int
    train_patients: int
    val_images: int
    class_counts: dict[str, int]


class ModelCard(BaseModel):
    """`model.json`: together with `model.safetensors` the whole model; no pickle, no code."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    arch: str
    classes: tuple[str, ...]
    positive: str | None
    recipe: Recipe
    normalisation: Normalisation
    threshold: Threshold | None
    fingerprint: Fingerprint
    weights_sha256: str
    head: HeadKind = "own"


class RunRecord(BaseModel):
    """`run.json`: provenance.

    Args:
        status: running, complete, or interrupted (the best epoch so far is kept).
        val: validation figures of the best epoch by name.
        resumed: how often training was taken up again.
    """

    version: int = 1
    name: str
    status: Literal["running", "complete", "interrupted"]
    arch: str
    seed: int
    started: str
    finished: str | None = None
    seconds: float | None = None
    epochs_run: int = 0
    best_epoch: int | None = None
    parameters: int = 0
    device: str = "cpu"
    images_per_second: float | None = None
    val: dict[str, float | None] = {}
    dataset_hash: str = ""
    recipe_key: str = ""
    resumed: int = 0
    command: str = ""
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    git_commit: str | None = None


class Run:
    """The folder `runs/<name>` and the paths inside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config_path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def record_path(self) -> Path:
        return self.folder / "run.json"

    @property
    def weights_path(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def card_path(self) -> Path:
        return self.folder / "model.json"

    @property
    def state_path(self) -> Path:
        """Return where a training that is not over keeps what it goes on from."""
        return self.folder / "last.ckpt"

    @property
    def lock_path(self) -> Path:
        return self.folder / ".lock"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    @property
    def log_path(self) -> Path:
        return self.folder / "log.txt"

    def predictions_path(self, split: str) -> Path:
        return self.folder / f"predictions-{split}.csv"

    def metrics_path(self, split: str) -> Path:
        return self.folder / f"metrics-{split}.json"

    def read_card(self) -> ModelCard:
        """Read `model.json`.

        Raises:
            RunError: it is missing or not one of medimg's.
        """
        return _read_model(self.card_path, ModelCard)

    def read_record(self) -> RunRecord:
        """Read `run.json`; raises `RunError` as `read_card` does."""
        return _read_model(self.record_path, RunRecord)

    def write_card(self, card: ModelCard) -> None:
        write_json(self.card_path, card.model_dump())

    def write_record(self, record: RunRecord) -> None:
        write_json(self.record_path, record.model_dump())


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def list_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that hold a model, oldest first."""
    folders = workspace.runs_dir.iterdir() if workspace.runs_dir.is_dir() else []
    runs = [Run(folder) for folder in folders if (folder / "model.json").is_file()]
    return sorted(runs, key=lambda run: (run.read_record().started, run.name))


def find_run(workspace: Workspace, name: str | None) -> Run:
    """Return the run called `name` (or the folder of that path), or the newest one when None.

    Raises:
        RunError: there is none.
    """
    # Looked up before the others are read: a damaged run beside it is no reason to refuse this one.
    for folder in () if name is None else (Path(name), workspace.runs_dir / name):
        if (folder / "model.json").is_file():
            return Run(folder.absolute())
    runs = list_runs(workspace)
    if name is None:
        if not runs:
            raise RunError(f"no trained run in {workspace.runs_dir}", "run `medimg train` first")
        return runs[-1]
    raise RunError(f"no run '{name}' in {workspace.runs_dir}", did_you_mean(name, [run.name for run in runs]))


def find_unfinished(workspace: Workspace, name: str | None) -> Run:
    """Return the run called `name`, or the one begun last among those whose training is not over.

    Raises:
        RunError: there is none.
    """
    folders = sorted(workspace.runs_dir.iterdir()) if workspace.runs_dir.is_dir() else []
    runs = [Run(folder) for folder in folders if (folder / "run.json").is_file()]
    if name is not None:
        if (Path(name) / "run.json").is_file():
            return Run(Path(name).absolute())
        named = [run for run in runs if run.name == name]
        if not named:
            raise RunError(
                f"no run '{name}' in {workspace.runs_dir}", did_you_mean(name, [run.name for run in runs])
            )
        return named[0]
    unfinished = [run for run in runs if run.state_path.is_file()]
    if not unfinished:
        raise RunError(
            f"no training to go on with in {workspace.runs_dir}",
            "a training can be resumed once its first epoch is over, until it is complete",
        )
    return max(unfinished, key=lambda run: (run.read_record().started, run.name))


def new_run(workspace: Workspace, *, arch: str, name: str | None) -> Run:
    """Create the folder of a new run, called `name` or the architecture and the next free number.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    if name is None:
        number = 1
        while (workspace.runs_dir / f"{arch}-{number}").exists():
            number += 1
        name = f"{arch}-{number}"
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"--name {name!r} is not a plain name", "use letters, digits, '-', '_' and '.'")
    folder = workspace.runs_dir / name
    if folder.exists():
        raise UsageError(f"run '{name}' exists already", "choose another --name")
    folder.mkdir(parents=True)
    return Run(folder)


def _read_model(path: Path, model: type[Artefact]) -> Artefact:
    try:
        return model.model_validate(read_json(path))
    except DataError as error:
        raise RunError(error.what, "train again, or point to a run folder that medimg wrote") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path}: {place}: {first['msg']}", "was it written by another version of medimg?"
        ) from error
