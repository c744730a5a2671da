"""train: cache → run."""

from collections.abc import Mapping
from dataclasses import dataclass

from medimg_cli.core.cache import PixelCache
from medimg_cli.core.manifest import Dataset, read_dataset, require_single_label
from medimg_cli.core.progress import Progress, SilentProgress
from medimg_cli.core.run import Run, Threshold, new_run
from medimg_cli.core.settings import Settings
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError
from medimg_cli.learning.augment import preset
from medimg_cli.learning.device import choose_device
from medimg_cli.learning.networks import architecture
from medimg_cli.learning.start import check_freeze
from medimg_cli.learning.training import Material, Trained, train_run


@dataclass(frozen=True)
class TrainResult:
    """What training did.

    Args:
        val: validation figures of the best epoch: loss, auroc, recall, f1, and recall and specificity at
            the chosen threshold.
        interrupted: stopped by the user; the best epoch so far is the model.
    """

    run: Run
    arch: str
    epochs_run: int
    best_epoch: int
    val: Mapping[str, float | None]
    seconds: float
    images_per_second: float
    parameters: int
    device: str
    threshold: Threshold | None
    interrupted: bool


def train(
    workspace: Workspace,
    settings: Settings,
    cache: PixelCache,
    progress: Progress = SilentProgress(),
    *,
    resume: Run | None = None,
) -> TrainResult:
    """Train a network on the training split, choose epoch and threshold on validation, and keep the model.

    Args:
        workspace: holds the data set; the run is written below its `runs/`.
        settings: section `train` decides; written to the run's `config.yaml` with what was left open filled in.
        cache: pixels of train and val.
        progress: told of steps and epochs.
        resume: a run whose training is not over; it goes on after its last whole epoch, with `settings` being
            its own.

    Raises:
        DataError: a class is missing in training, or there is no validation image.
        UsageError: unknown architecture, augmentation or run name; nothing trained to freeze.
        RunError: the run cannot be resumed.
        MachineError: another process is training this run.
        KeyboardInterrupt: stopped before the first epoch was over.
    """
    dataset = read_dataset(workspace)
    require_single_label(dataset.info)
    _check_splits(dataset)
    chosen = settings.train
    architecture(chosen.arch)  # an unknown name must not leave an empty run behind
    preset(chosen.augment)
    check_freeze(chosen)
    device = choose_device(chosen.device)
    run = resume or new_run(workspace, arch=chosen.arch, name=chosen.name)
    material = Material(dataset, dataset.of_split("train"), dataset.of_split("val"), cache)
    trained = train_run(
        run, material, settings, device, progress, root=workspace.root, resume=resume is not None
    )
    return _result(trained)


def _result(trained: Trained) -> TrainResult:
    record = trained.record
    return TrainResult(
        run=trained.run,
        arch=record.arch,
        epochs_run=record.epochs_run,
        best_epoch=record.best_epoch or 0,
        val=record.val,
        seconds=record.seconds or 0.0,
        images_per_second=record.images_per_second or 0.0,
        parameters=record.parameters,
        device=record.device,
        threshold=trained.card.threshold,
        interrupted=trained.interrupted,
    )


def _check_splits(dataset: Dataset) -> None:
    present = set(dataset.of_split("train")["label"])
    missing = [name for name in dataset.info.classes if name not in present]
    if missing:
        raise DataError(
            f"no image of class '{missing[0]}' in the training split", "ingest with another --split"
        )
    if dataset.of_split("val").empty:
        raise DataError(
            "no image in the validation split", "ingest with a validation share, such as 0.7,0.15,0.15"
        )
