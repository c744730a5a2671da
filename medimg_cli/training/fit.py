"""One training: rows and pixels to a run's model, its history and its predictions on validation."""

import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
import yaml

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import UsageError
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.training.checkpoint import load_state
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.fitting.automatic_plan import in_figures, tell_plan
from medimg_cli.training.fitting.memory import after_lack_of_memory, let_go
from medimg_cli.training.fitting.plan import settings_in_force
from medimg_cli.training.fitting.trainer import Fit
from medimg_cli.training.networks.initialise import frozen_part
from medimg_cli.training.tracking import open_trackers
from medimg_cli.training.train_run import Material, OneTraining, Trained
from medimg_cli.workspace.files import sha256_of_text, under_seal, write_text
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import LoggedProgress, Progress
from medimg_cli.workspace.provenance import command_line, git_commit, machine_facts, now, package_versions
from medimg_cli.workspace.settings import Settings, TrainSettings

__all__ = ["Material", "Trained", "train_run"]

_ONE_IMAGE = "Expected more than 1 value per channel"  # of torch's batch normalisation


def train_run(
    run: Run,
    material: Material,
    settings: Settings,
    device: torch.device,
    progress: Progress,
    *,
    root: Path,
    resume: bool,
    on_epoch: Callable[[Fit], None] | None = None,
    asked: Settings | None = None,
) -> Trained:
    """Train the network of one run under its lock; where memory runs out, begin anew with fewer images a step.

    Args:
        run: its folder, new or of a training that is not over.
        settings: section `train` decides; written to the run's `config.yaml` with what was left open filled in.
        root: the workspace's folder, whose git commit is noted.
        resume: go on after the last whole epoch.
        on_epoch: called after every epoch, and may raise to end the training; a training so watched keeps no
            state from which it could be resumed.
        asked: the settings before the plan's rules filled them in, for its words; None = these.

    Raises:
        RunError: the run cannot be resumed, or the loss was not a number before the first epoch was over.
        UsageError: one image a step, which the network cannot normalise by its batch.
        MachineError: another process is training this run, or memory runs out with one image a step.
        KeyboardInterrupt: stopped before the first epoch was over.
    """
    asked, single_process = asked or settings, here().size == 1
    settings = in_figures(
        settings, material.dataset, material.cache.recipe, device, single_process=single_process
    )
    with locked(run.lock_path, doing=f"training run '{run.name}'"):
        progress = LoggedProgress(progress, run.log_path)
        while True:
            try:
                return _train_once(
                    run,
                    material,
                    settings,
                    asked,
                    device,
                    progress,
                    root=root,
                    resume=resume,
                    on_epoch=on_epoch,
                )
            except (MemoryError, RuntimeError) as error:
                settings = after_lack_of_memory(error, settings, progress, single_process=single_process)
            except ValueError as error:
                if _ONE_IMAGE not in str(error):
                    raise
                raise UsageError(
                    f"{settings.train.arch} normalises by its batch, which one image of this size does not allow",
                    "give --batch-size 2 or more, or a larger --size",
                ) from error
            resume = False
            let_go(device)


def _train_once(
    run: Run,
    material: Material,
    settings: Settings,
    asked: Settings,
    device: torch.device,
    progress: Progress,
    *,
    root: Path,
    resume: bool,
    on_epoch: Callable[[Fit], None] | None,
) -> Trained:
    """Train with these settings, and keep what went wrong in the run's log."""
    chosen, recipe = settings.train, material.cache.recipe
    record = first_record(run, chosen, material.dataset, recipe, device=str(device), root=root)
    training = OneTraining(material, settings, run, record, device, progress)
    training.find_rate()
    training.fit_into_limit()
    used = settings_in_force(settings, recipe, training.plan)
    training.key = state_key(used.train, record) + frozen_part(chosen) + material.part
    state = None
    if resume:
        training.record = resumed_record(run, record)
        if run.state_path.is_file() or run.read_record().status != "running":
            state = load_state(run, training.key)
        else:
            progress.note(f"run '{run.name}' ended within its first epoch: it is begun anew")
    if state is None:
        write_settings(run, used)
        tell_plan(run.plan_path, asked, used, material.dataset, device, progress)
    run.write_record(training.record)
    training.on_epoch = on_epoch
    done = len(state["history"]) if state else 0
    training.tracker = open_trackers(chosen, run, root, done, progress)
    try:
        return training.result(state)
    except BaseException:
        training.tracker.finish(training.record)
        # Where the disk is full, the reason above is worth more than that.
        with suppress(OSError), run.log_path.open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        raise


def first_record(
    run: Run, chosen: TrainSettings, dataset: Dataset, recipe: Recipe, *, device: str, root: Path
) -> RunRecord:
    """Return the record of a training that begins.

    Args:
        root: the workspace's folder, whose git commit is noted where it has one.
    """
    return RunRecord(
        name=run.name,
        status="running",
        arch=chosen.arch,
        seed=chosen.seed,
        started=now(),
        device=device,
        dataset_hash=dataset.content_hash(),
        recipe_key=recipe.key(),
        command=command_line(),
        versions=package_versions(),
        machine=dict(machine_facts()),
        git_commit=git_commit(root),
    )


def write_settings(run: Run, used: Settings) -> None:
    write_text(run.config_path, under_seal(yaml.safe_dump(used.model_dump(mode="json"), sort_keys=False)))


def resumed_record(run: Run, here: RunRecord) -> RunRecord:
    """Return `here`, the present machine's facts, with the beginning that the run wrote down."""
    before = run.read_record()
    kept = {"started": before.started, "command": before.command, "resumed": before.resumed + 1}
    return here.model_copy(update=kept)


def state_key(used: TrainSettings, record: RunRecord) -> str:
    """Return what a saved state belongs to: the settings that decide the weights, data, pixels, torch, device."""
    decides = used.model_dump(mode="json", exclude={"name", "track"})
    rests_on = [record.dataset_hash, record.recipe_key, record.versions.get("torch"), record.device]
    return sha256_of_text(json.dumps([decides, *rests_on]))
