"""train: cache → run."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medimg_cli.audit.duplicates.across_splits import known_leak
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.preprocessing.automatic_choices import data_facts
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.requirements_for_training import check_splits, loss_for, remarks_on_val
from medimg_cli.runs.run import Exams, Run, Threshold
from medimg_cli.runs.run_folders import new_run
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.device import choose_device
from medimg_cli.training.distributed.all_reduce import check_batch_size, here
from medimg_cli.training.distributed.join import taking_part
from medimg_cli.training.ensemble import is_ensemble, planned_members, train_ensemble
from medimg_cli.training.fit import Material, Trained, first_record, train_run, write_settings
from medimg_cli.training.fitting.automatic_plan import in_figures, plan_ahead, warn_of_old_plan
from medimg_cli.training.fitting.plan import warn_of_slow_precision
from medimg_cli.training.fitting.time_limit import check_time_limit
from medimg_cli.training.networks.initialise import check_freeze
from medimg_cli.training.tracking import check_trackers
from medimg_cli.workspace.config import Choice, plan_text, write_plan
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class TrainResult:
    """What training did; of an ensemble epochs and parameters are the sum over its members.

    Args:
        best_epoch: counted from 1; None for an ensemble, whose members have their own.
        val: validation figures of the best epoch: loss, auroc, recall, f1, and recall and specificity at
            the chosen threshold.
        interrupted: stopped by the user; the best epoch so far, or the members so far, are the model.
        members: how many networks the model is made of.
        exams: how it decides on exams, None where it answers images alone.
        folds: figures of each fold that was held out.
    """

    run: Run
    arch: str
    epochs_run: int
    best_epoch: int | None
    val: Mapping[str, float | None]
    seconds: float
    images_per_second: float
    parameters: int
    device: str
    threshold: Threshold | None
    interrupted: bool
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    members: int = 1
    exams: Exams | None = None
    folds: tuple[Mapping[str, int | float | None], ...] = ()


@dataclass(frozen=True)
class PlanResult:
    """What training would do.

    Args:
        path: the workspace's `plan.yaml`.
        about: one line on the data.
        choices: one for each setting, with its reason.
    """

    path: Path
    about: str
    choices: tuple[Choice, ...]


def plan(workspace: Workspace, settings: Settings, progress: Progress = SilentProgress()) -> PlanResult:
    """Choose what nobody set, write it with its reasons to the workspace's `plan.yaml`, and train nothing.

    Args:
        settings: what is set already; without an earlier plan's part.
        progress: notified where an earlier plan is kept.

    Raises:
        DataError, UsageError, RunError: as of `train`.
    """
    dataset = read_dataset(workspace)
    if settings.train.folds is None:
        check_splits(dataset)
    check_freeze(settings.train)
    _, choices = plan_ahead(dataset, settings, choose_device(settings.train.device))
    about, data = data_facts(dataset).in_words(), dataset.content_hash()
    kept = write_plan(workspace.plan_path, plan_text(choices, about=about, dataset_hash=data))
    if kept is not None:
        progress.note(f"the plan before is kept as {kept.name}")
    return PlanResult(workspace.plan_path, about, tuple(choices))


def train(
    workspace: Workspace,
    settings: Settings,
    cache: PixelCache,
    progress: Progress = SilentProgress(),
    *,
    resume: Run | None = None,
    began: float | None = None,
) -> TrainResult:
    """Train a network on the training split, choose epoch and threshold on validation, and keep the model.

    Args:
        workspace: holds the data set; the run is written below its `runs/`.
        settings: section `train` decides; written to the run's `config.yaml` with what was left open filled in.
        cache: pixels of train and val.
        progress: notified of steps and epochs.
        resume: a run whose training is not over; it goes on after its last whole epoch, or begins anew within the first, with
            `settings` being its own; of one that is complete what it came to is returned.
        began: when the command did, by `time.perf_counter`: `time_limit` counts from then; None = from now.

    Raises:
        DataError: a class is missing in training, or there is no validation image.
        UsageError: unknown architecture, augmentation or run name; nothing trained to freeze.
        RunError: the run cannot be resumed.
        MachineError: another process is training this run.
        KeyboardInterrupt: stopped before the first epoch was over.
    """
    began = began or time.perf_counter()
    if resume is not None and (record := resume.read_record()).status == "complete":
        progress.note(f"run '{resume.name}' is complete: nothing is left to be trained")
        resume.state_path.unlink(missing_ok=True)
        return _result(resume, Trained(resume, resume.read_card(), record, interrupted=False))
    dataset = read_dataset(workspace)
    if settings.train.folds is None:
        check_splits(dataset)
    world, asked, device = here(), settings, choose_device(settings.train.device)
    # An unknown name must not leave an empty run behind.
    settings = in_figures(settings, dataset, cache.recipe, device, single_process=world.size == 1)
    chosen = settings.train
    preset(chosen.augment)
    check_time_limit(chosen, single_process=world.size == 1)
    warn_of_old_plan(workspace, dataset, progress)
    check_freeze(chosen)
    loss_for(chosen, dataset.labels)
    check_trackers(chosen.track)
    planned = planned_members(dataset, cache, settings) if is_ensemble(chosen) else ()
    for remark in () if planned or resume else remarks_on_val(dataset):
        progress.warn(remark)
    if (leak := known_leak(workspace, dataset)).images and not resume:
        progress.warn(leak.line())
    resumed = resume is not None
    check_batch_size(chosen.images_a_step)
    warn_of_slow_precision(chosen.precision, device, progress)
    root = workspace.root

    def begin(made: Run) -> None:  # what `--resume` needs, whenever the training is killed
        write_settings(made, settings)
        made.write_record(first_record(made, chosen, dataset, cache.recipe, device=str(device), root=root))

    run = resume or world.broadcast(
        lambda: new_run(workspace, arch=chosen.arch, name=chosen.name, fill=begin)
    )
    settings = with_time_left(settings, began)
    with taking_part(run, settings, progress, world, resume=resumed) as part:
        given = part.settings, device, part.progress
        if planned:
            trained = train_ensemble(part.run, planned, *given, root=root, resume=resumed)
        else:
            material = Material(dataset, dataset.of_split("train"), dataset.of_split("val"), cache)
            trained = train_run(part.run, material, *given, root=root, resume=resumed, asked=asked)
    return _result(run, trained)


def with_time_left(settings: Settings, began: float) -> Settings:
    """Return the settings with what is left of the time limit: imports and preprocessing took their part of it."""
    train = settings.train
    if train.time_limit is None:
        return settings
    left = max(1.0, train.time_limit - (time.perf_counter() - began))
    return settings.model_copy(update={"train": train.model_copy(update={"time_limit": left})})


def _result(run: Run, trained: Trained) -> TrainResult:
    record = trained.record
    return TrainResult(
        run=run,
        arch=record.arch,
        epochs_run=record.epochs_run,
        best_epoch=record.best_epoch,
        val=record.val,
        seconds=record.seconds or 0.0,
        images_per_second=record.images_per_second or 0.0,
        parameters=record.parameters,
        device=record.device,
        threshold=trained.card.threshold,
        interrupted=trained.interrupted,
        thresholds=trained.card.thresholds,
        members=record.members,
        exams=trained.card.exams,
        folds=record.folds,
    )
