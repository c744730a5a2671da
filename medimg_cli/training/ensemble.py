"""Several networks as one model: networks of several seeds, or of folds each of which was held out once.

Every member is a whole run of its own below the ensemble's `members/`, trained by `training.train_run`, so that
what is finished stays finished and the rest can be gone on with. The ensemble's answer is the mean of its members'
calibrated probabilities and nothing is fitted on top of them: compared on four medical image sets, simple ways to
pool predictions did as well as learnt ones or better (Müller D et al. IEEE Access 2022;10:66467-66480).
"""

import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import FOLD, dealt_rows
from medimg_cli.errors import RunError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.runs.run_record import first_record, resumed_record
from medimg_cli.training.ensemble_predictions import Whole, write_ensemble
from medimg_cli.training.fit import Material, Trained, train_run
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.files import sha256_of_text, write_text
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import LoggedProgress, Progress
from medimg_cli.workspace.settings import Settings, TrainSettings


@dataclass(frozen=True)
class Planned:
    """A member that is to be trained.

    Args:
        name: of its folder below `members/`.
        settings: the ensemble's, with the member's own seed.
    """

    name: str
    material: Material
    settings: Settings


def is_ensemble(chosen: TrainSettings) -> bool:
    """Return whether these settings ask for more than one network."""
    return chosen.seeds > 1 or chosen.folds is not None


def planned_members(dataset: Dataset, cache: PixelCache, settings: Settings) -> tuple[Planned, ...]:
    """Return the members in the order of their training: all folds of one seed, then those of the next.

    Raises:
        DataError: the data cannot be dealt into so many folds.
    """
    chosen = settings.train
    materials = {"": Material(dataset, dataset.of_split("train"), dataset.of_split("val"), cache)}
    if chosen.folds is not None:
        materials = _held_out(dataset, cache, chosen.folds)
    planned = []
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        # `folds` stays in a member's settings: without them nobody could tell what it was trained on.
        own = settings.model_copy(update={"train": chosen.model_copy(update={"seed": seed, "seeds": 1})})
        for fold, material in materials.items():
            parts = ([f"fold-{fold}"] if fold else []) + ([f"seed-{seed}"] if chosen.seeds > 1 else [])
            planned.append(Planned("-".join(parts), material, own))
    return tuple(planned)


def _held_out(dataset: Dataset, cache: PixelCache, folds: int) -> dict[str, Material]:
    """Return fold → what is learnt from all others and judged on it."""
    rows = dealt_rows(dataset, folds)
    found = {}
    for fold in sorted(set(rows[FOLD]), key=int):
        held = rows[FOLD] == fold
        part = sha256_of_text("\n".join(rows.loc[held, "image_id"]))
        found[fold] = Material(dataset, rows[~held], rows[held], cache, part)
    return found


def train_ensemble(
    run: Run,
    planned: tuple[Planned, ...],
    settings: Settings,
    device: torch.device,
    progress: Progress,
    *,
    root: Path,
    resume: bool,
) -> Trained:
    """Train the members one after the other and write the model that they are together.

    With folds, the epoch and the temperature of a member are chosen on the fold it is judged on, so out-of-fold
    figures are a little too good; the test split is not touched.

    Args:
        run: the ensemble's folder, new or of a training that is not over.
        planned: what `planned_members` returned for these settings.
        root: the workspace's folder, whose git commit is noted.
        resume: finished members are left alone, the one that was stopped goes on after its last whole epoch.

    Raises:
        RunError: the run cannot be resumed, or a member's training failed.
        MachineError: another process is training this run.
        KeyboardInterrupt: stopped before one member was trained to its end; it can be gone on with.
    """
    with locked(run.lock_path, doing=f"training run '{run.name}'"):
        progress = LoggedProgress(progress, run.log_path)
        material = planned[0].material
        recipe = material.cache.recipe
        record = first_record(
            run, settings.train, material.dataset, recipe, device=str(device), root=root
        ).model_copy(update={"members": 0})
        if resume:
            record = _taken_up(run, record)
        else:
            pixels = {"size": recipe.size_px, "channels": recipe.channels, "bits": recipe.bits}
            used = settings.model_copy(update={"preprocess": settings.preprocess.model_copy(update=pixels)})
            write_text(run.config_path, yaml.safe_dump(used.model_dump(mode="json"), sort_keys=False))
        run.members_path.mkdir(exist_ok=True)
        run.write_record(record)
        try:
            return _Ensemble(run, planned, settings, device, progress, root).result(record)
        except BaseException:
            with run.log_path.open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
            raise


@dataclass
class _Ensemble:
    """Members to be trained, in one run's folder."""

    run: Run
    planned: tuple[Planned, ...]
    settings: Settings
    device: torch.device
    progress: Progress
    root: Path

    def result(self, record: RunRecord) -> Trained:
        whole, interrupted = self._train()
        if not whole:
            self.progress.warn(
                f"no network was trained to its end: `medimg train --resume {self.run.name}` goes on"
            )
            raise KeyboardInterrupt
        if interrupted:
            self.progress.note(f"the model is made of {len(whole)} of {len(self.planned)} networks")
        card, record = write_ensemble(self.run, whole, self.settings.train, record, interrupted=interrupted)
        return Trained(self.run, card, record, interrupted)

    def _train(self) -> tuple[list[Whole], bool]:
        """Return the members trained to their end, and whether the user stopped it before all were."""
        whole: list[Whole] = []
        for number, member in enumerate(self.planned, start=1):
            own = Run(self.run.members_path / member.name)
            if not _is_whole(own):
                self.progress.note(f"network {number} of {len(self.planned)}: {member.name}")
                try:
                    interrupted = self._train_one(own, member)
                except KeyboardInterrupt:
                    interrupted = True
                if interrupted:
                    return whole, True
            whole.append(Whole(own, member.material, own.read_card(), own.read_record()))
        return whole, False

    def _train_one(self, own: Run, member: Planned) -> bool:
        """Train one member, or go on with it, and return whether it was stopped."""
        resume = own.state_path.is_file()
        if not resume and own.folder.exists():
            shutil.rmtree(own.folder)  # it ended within its first epoch, and begins anew
        own.folder.mkdir(parents=True, exist_ok=True)
        # What was found out as it began, such as a batch size that fits into memory, stands in its own settings.
        settings = read_settings(own.config_path) if resume else member.settings
        return train_run(
            own, member.material, settings, self.device, self.progress, root=self.root, resume=resume
        ).interrupted


def _is_whole(own: Run) -> bool:
    """Return whether a member was trained to its end and is all there."""
    try:
        record = own.read_record()
    except RunError:
        return False
    return record.status == "complete" and own.card_path.is_file() and own.weights_path.is_file()


def _taken_up(run: Run, here: RunRecord) -> RunRecord:
    """Return the record of an ensemble that is gone on with.

    Raises:
        RunError: it is complete, is no ensemble, or was begun with other data or pixels.
    """
    if not run.members_path.is_dir():
        raise RunError(f"run '{run.name}' is a member of an ensemble", "resume the ensemble, not its member")
    before = run.read_record()
    if before.status == "complete":
        raise RunError(f"run '{run.name}' is complete", "train anew without --resume")
    if (before.dataset_hash, before.recipe_key) != (here.dataset_hash, here.recipe_key):
        raise RunError(
            f"run '{run.name}' was begun with other data or pixels",
            "put them back as they were, or train anew without --resume",
        )
    return resumed_record(run, here).model_copy(update={"members": before.members})
