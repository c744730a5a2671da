"""tune: cache → the settings with the best figure on validation."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import yaml

from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.errors import RunError, UsageError
from medimg_cli.evaluation.run_table import LOWER_IS_BETTER
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.requirements_for_training import check_splits, loss_for
from medimg_cli.runs.run_folders import Search, new_search
from medimg_cli.training.device import choose_device
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.fitting.automatic_plan import plan_ahead
from medimg_cli.training.networks.initialise import check_freeze
from medimg_cli.training.tuning.study import Study, check_searchable, search_space, sizes_and_networks
from medimg_cli.training.tuning.tuning import Tried, Tuning, pixels_of
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.files import under_seal, write_text
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace

Pixels = Callable[[Settings], PixelCache]
"""Makes the pixels of train and val at the size that the settings ask for."""


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Args:
        metric: what it improves, on validation.
        trials: all of them, in the order they were tried.
        best: the complete ones, best first.
        interrupted: stopped by the user; what was tried is kept.
        out_of_time: the time limit ended it.
    """

    search: Search
    metric: str
    trials: list[Tried]
    best: list[Tried]
    seconds: float
    interrupted: bool
    out_of_time: bool


def tune(
    workspace: Workspace,
    settings: Settings,
    pixels: Pixels,
    progress: Progress = SilentProgress(),
    *,
    resume: Search | None = None,
) -> TuneResult:
    """Train with varied settings and keep those with the best figure on validation; test is never looked at.

    The first trial has the settings as they stand. `trials.csv` and `best.yaml` are up to date after every trial.

    Args:
        workspace: holds the data set; the search is written below its `tune/`.
        settings: section `tune` decides what is searched, section `train` everything else.
        pixels: called before the first trial for every size that is tried.
        progress: notified of every trial.
        resume: a search to go on with; `settings` are its own, but for trials and time limit.

    Raises:
        UsageError: an unknown network or preset, nothing to vary, or a name that is taken.
        DataError: a class is missing in training, or there is no validation image.
        MachineError: Optuna is not installed, or another process works on this search.
        RunError: no trial came to an end, or the data set is another one than when the search began.
    """
    dataset = read_dataset(workspace)
    _check(settings, dataset)
    device = choose_device(settings.train.device)
    settings = _decided(settings, dataset, device)
    base = _of_trials(settings)
    space = search_space(base)
    networks = list(sizes_and_networks(space, base))
    lr = {one.train.arch: plan_ahead(dataset, one, device)[0].train.lr for one in networks}
    usual_lr = {
        arch: one if isinstance(one, float) else 0.0 for arch, one in lr.items()
    }  # 0: a range test finds it
    caches = {pixels_of(one): pixels(one) for one in networks}
    written = under_seal(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    search = resume or new_search(
        workspace, settings.tune.name, lambda made: write_text(made.config_path, written)
    )
    with locked(search.lock_path, doing=f"searching in '{search.name}'"):
        lower, own = base.train.monitor in LOWER_IS_BETTER, base.tune
        study = Study(search.study_path, space, seed=own.seed, pruner=own.pruner, lower_is_better=lower)
        _refuse_other_data(study, dataset)
        work = Tuning(
            workspace, settings, base, space, usual_lr, study, search, dataset, caches, device, progress
        )
        work.run()
        return TuneResult(
            search=search,
            metric=base.train.monitor,
            trials=work.trials,
            best=work.best,
            seconds=time.monotonic() - work.began,
            interrupted=work.interrupted,
            out_of_time=work.out_of_time,
        )


def _check(settings: Settings, dataset: Dataset) -> None:
    """Refuse what no trial could be trained with, before the first one begins."""
    check_searchable()
    if here().size > 1:
        raise UsageError("a search runs in one process", "give each process a --seed and a --name of its own")
    loss_for(settings.train, dataset.labels)
    check_splits(dataset)
    check_freeze(settings.train)


def _decided(settings: Settings, dataset: Dataset, device: torch.device) -> Settings:
    """Return the settings with network, augmentation, batch size and epochs as `train` would choose them.

    Every trial has as many epochs, so that their figures can be compared epoch by epoch.
    """
    train = settings.train
    asked = train.model_copy(update={"epochs": settings.tune.epochs or train.epochs, "time_limit": None})
    planned = plan_ahead(dataset, settings.model_copy(update={"train": asked}), device)[0].train
    chosen = {name: getattr(planned, name) for name in ("arch", "augment", "batch_size", "epochs")}
    if "lr" in settings.tune.space and train.lr == "auto":
        chosen["lr"] = None  # the search is a better range test
    return settings.model_copy(update={"train": train.model_copy(update=chosen)})


def _of_trials(settings: Settings) -> Settings:
    """Return the settings that all trials share: one network a trial, watched by what the search improves."""
    train, tuned = settings.train, settings.tune
    fixed = {"time_limit": None, "name": None, "track": (), "seeds": 1, "folds": None}
    shared = train.model_copy(update={"monitor": tuned.metric or train.monitor, **fixed})
    return settings.model_copy(update={"train": shared})


def _refuse_other_data(study: Study, dataset: Dataset) -> None:
    known, here = study.fact("dataset_hash"), dataset.content_hash()
    if known is None:
        study.remember("dataset_hash", here)
    elif known != here:
        raise RunError(
            "the data set has changed since this search began, and its figures cannot be compared",
            "begin a new search",
        )


def settings_to_resume(search: Search, *, trials: int | None, time_limit: str | None) -> Settings:
    """Return a search's own settings, with more trials or another time limit where they were given.

    Raises:
        UsageError: a value is out of range.
    """
    settings = read_settings(search.config_path)
    text = {"trials": trials, "time_limit": time_limit}
    values = settings.tune.model_dump(mode="json") | {
        name: value for name, value in text.items() if value is not None
    }
    try:
        return settings.model_copy(update={"tune": type(settings.tune).model_validate(values)})
    except ValueError as error:
        raise UsageError(f"cannot go on with {text}", str(error).splitlines()[-1]) from error
