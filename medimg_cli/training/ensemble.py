"""Several networks as one model: of several architectures or seeds, or of folds each of which was held out once.

Every member is a whole run of its own below the ensemble's `members/`, trained by `training.train_run`, so that
what is finished stays finished and the rest can be gone on with. The ensemble's answer is the mean of its members'
calibrated probabilities and nothing is fitted on top of them: compared on four medical image sets, simple ways to
pool predictions did as well as learnt ones or better (Müller D et al. IEEE Access 2022;10:66467-66480).
"""

import shutil
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import FOLD, OUT_OF_FOLD, dealt_rows
from medimg_cli.errors import RunError, UsageError
from medimg_cli.predictions.exams import exams_chosen
from medimg_cli.predictions.operating_point import OperatingPoint, usual_point
from medimg_cli.predictions.predictions import (
    digest_of,
    predictions_of,
    probabilities_of,
    read_predictions,
    read_tuning,
    write_predictions,
)
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Fingerprint, Member, ModelCard, Normalisation, Run, RunRecord
from medimg_cli.runs.weights_origin import WeightsOrigin, weights_of
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.fit import Material, Trained, first_record, resumed_record, train_run, write_settings
from medimg_cli.training.fitting.scoring import SHOWN, watched_figures
from medimg_cli.training.networks.networks import architecture
from medimg_cli.training.ood.references import with_sets
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import LoggedProgress, Progress
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.tables import read_table, write_table


@dataclass(frozen=True)
class Whole:
    """A member that was trained to its end, and what its run's folder holds."""

    run: Run
    material: Material
    card: ModelCard
    record: RunRecord


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
    return chosen.seeds > 1 or chosen.folds is not None or bool(chosen.also)


def planned_members(dataset: Dataset, cache: PixelCache, settings: Settings) -> tuple[Planned, ...]:
    """Return the members in the order of their training: all folds of one network and seed, then those of the next.

    Raises:
        DataError: the data cannot be dealt into so many folds.
        UsageError: a network lacks its weights.
    """
    chosen = settings.train
    materials = {"": Material(dataset, dataset.of_split("train"), dataset.of_split("val"), cache)}
    if chosen.folds is not None:
        materials = _held_out(dataset, cache, chosen.folds)
    planned = []
    for network, seed in product(_networks(chosen), range(chosen.seed, chosen.seed + chosen.seeds)):
        # `folds` stays in a member's settings: without them nobody could tell what it was trained on.
        own = settings.model_copy(update={"train": network.model_copy(update={"seed": seed, "seeds": 1})})
        for fold, material in materials.items():
            parts = [network.arch.rpartition("/")[2]] if chosen.also else []
            parts += ([f"fold-{fold}"] if fold else []) + ([f"seed-{seed}"] if chosen.seeds > 1 else [])
            planned.append(Planned("-".join(parts), material, own))
    return tuple(planned)


def _networks(chosen: TrainSettings) -> list[TrainSettings]:
    """Return the settings of each architecture that answers, the first its own."""
    found = [chosen.model_copy(update={"also": ()})]
    for name in chosen.also:
        architecture(name)  # an unknown one must not leave an empty run behind
        weights = chosen.weights
        if weights not in ("none", "imagenet"):
            place = weights_of(Path(weights).parent, name.rpartition("/")[2])
            if place is None:
                raise UsageError(
                    f"train.also: no weights of {name} lie beside {weights}",
                    "put them there, or leave it out",
                )
            weights = str(place)
        found.append(found[0].model_copy(update={"arch": name, "weights": weights}))
    return found


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
            write_settings(run, used)
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
        RunError: it is a member of an ensemble, or was begun with other data or pixels.
    """
    if run.folder.parent.name == Run(run.folder.parent.parent).members_path.name:
        raise RunError(f"run '{run.name}' is a member of an ensemble", "resume the ensemble, not its member")
    before = run.read_record()
    if (before.dataset_hash, before.recipe_key) != (here.dataset_hash, here.recipe_key):
        raise RunError(
            f"run '{run.name}' was begun with other data or pixels",
            "put them back as they were, or train anew without --resume",
        )
    return resumed_record(run, here).model_copy(update={"members": before.members})


def write_ensemble(
    run: Run, members: Sequence[Whole], chosen: TrainSettings, record: RunRecord, *, interrupted: bool
) -> tuple[ModelCard, RunRecord]:
    """Write an ensemble's predictions, card, history and record, and return card and record.

    Args:
        members: at least one; with folds, images that none of them held out have no prediction yet.
        record: of the ensemble as it began.

    Raises:
        RunError: a member's predictions are not of the images it should have held out.
    """
    dataset = members[0].material.dataset
    rows, probabilities = _together(members)
    split, known = "val" if chosen.folds is None else OUT_OF_FOLD, dataset.info.patients_known
    choose = partial(usual_point, dataset.labels, chosen, split)
    point = choose(dataset.targets(rows), probabilities, sampling_of(rows, known=known))
    table = predictions_of(dataset, rows, probabilities, point)
    exams = exams_chosen(table, dataset.labels, dataset.info.exams_from, split, choose, known=known)
    if chosen.folds is not None:
        table[FOLD] = rows[FOLD].to_numpy()
    write_predictions(run.predictions_path("val"), table)
    write_table(run.history_path, _mean_history(members))
    card = with_sets(
        _card(run, members, chosen, point, held_out=len(rows)), probabilities, dataset.targets(rows), split
    ).model_copy(
        update={"exams": exams, "tuning_sha256": digest_of(read_predictions(run.predictions_path("val")))}
    )
    run.write_card(card)
    update = _sums(members) | {
        "status": "interrupted" if interrupted else "complete",
        "finished": now(),
        "val": _figures(dataset, rows, probabilities, chosen) | point.figures(),
        "folds": _of_folds(dataset, rows, probabilities, chosen) if chosen.folds is not None else (),
    }
    record = record.model_copy(update=update)
    run.write_record(record)
    return card, record


def _together(members: Sequence[Whole]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the rows that some member held out, and the mean (N, C) of what those members answered."""
    rows = pd.concat([member.material.val for member in members])
    rows = rows[~rows["image_id"].duplicated()].sort_index()
    place = {image: number for number, image in enumerate(rows["image_id"])}
    total = np.zeros((len(rows), len(members[0].card.classes)))
    answers = np.zeros((len(rows), 1))
    for member in members:
        path, table = member.run.tuning_path, read_tuning(member.run, member.card)
        if sorted(table["image_id"]) != sorted(member.material.val["image_id"]):
            raise RunError(
                f"{path} is not of the images that this member holds out",
                "were folds dealt anew since? Train anew without --resume",
            )
        places = [place[image] for image in table["image_id"]]
        total[places] += probabilities_of(table)
        answers[places] += 1
    return rows, total / answers


def _figures(
    dataset: Dataset, rows: pd.DataFrame, probabilities: NDArray[np.float64], chosen: TrainSettings
) -> dict[str, float | None]:
    positive = [dataset.labels.classes.index(name) for name in dataset.labels.positives]
    watched = watched_figures(
        probabilities, dataset.targets(rows), positive, target_recall=chosen.target_recall
    )
    return {name: getattr(watched, name) for name in SHOWN}


def _of_folds(
    dataset: Dataset, rows: pd.DataFrame, probabilities: NDArray[np.float64], chosen: TrainSettings
) -> tuple[dict[str, int | float | None], ...]:
    """Return the figures of each fold by the members that held it out, with its number and count of images."""
    found: list[dict[str, int | float | None]] = []
    for fold in sorted(set(rows[FOLD]), key=int):
        held = (rows[FOLD] == fold).to_numpy()
        figures = _figures(dataset, rows[held], probabilities[held], chosen)
        found.append({"fold": int(fold), "n": int(held.sum())} | figures)
    return tuple(found)


def _mean_history(members: Sequence[Whole]) -> pd.DataFrame:
    """Return the mean of the members' histories, epoch by epoch, over those that ran it; `networks` counts them."""
    every = pd.concat([read_table(member.run.history_path) for member in members])
    numbers = every.apply(pd.to_numeric, errors="coerce")
    numbers["networks"] = 1.0
    epochs = numbers.groupby("epoch")
    mean: pd.DataFrame = epochs.mean().assign(networks=epochs["networks"].sum()).reset_index()
    return mean


def _card(
    run: Run, members: Sequence[Whole], chosen: TrainSettings, point: OperatingPoint, *, held_out: int
) -> ModelCard:
    dataset = members[0].material.dataset
    learnt = pd.concat([member.material.train for member in members])
    learnt = learnt[~learnt["image_id"].duplicated()]
    made_of = tuple(
        Member(
            folder=member.run.folder.relative_to(run.folder).as_posix(),
            weights_sha256=member.card.weights_sha256,
        )
        for member in members
    )
    fingerprint = Fingerprint(
        dataset_hash=dataset.content_hash(),
        train_images=len(learnt),
        train_patients=int(learnt["patient_id"].nunique()),
        val_images=held_out,
        class_counts=dataset.counts(learnt),
    )
    return members[0].card.model_copy(
        update={
            "normalisation": _mean_normalisation([member.card.normalisation for member in members]),
            "threshold": point.threshold,
            "thresholds": dict(point.thresholds),
            "fingerprint": fingerprint,
            "weights_sha256": sha256_of_text("\n".join(member.weights_sha256 for member in made_of)),
            "temperature": 1.0,
            "members": made_of,
            "arch": _arch(members),
            "began_with": _origin(members),
            "folds": chosen.folds,
            "onnx_sha256": None,
            "reference_sha256": None,
            "limits": None,
        }
    )


def _arch(members: Sequence[Whole]) -> str:
    return " + ".join(dict.fromkeys(member.card.arch for member in members))


def _origin(members: Sequence[Whole]) -> WeightsOrigin | None:
    """Return whose weights the members began with; of several files all licences, so that each one's terms are told."""
    found = list(dict.fromkeys(each for member in members if (each := member.card.began_with)))
    if len(found) < 2:
        return found[0] if found else None
    stated = [each.licence or "not stated" for each in found]
    return WeightsOrigin(
        source=", ".join(each.source for each in found),
        licence=" and ".join(stated) if any(each.licence for each in found) else None,
        said_by=", ".join(dict.fromkeys(each.said_by for each in found if each.said_by)),
    )


def _mean_normalisation(found: Sequence[Normalisation]) -> Normalisation:
    mean, std = (
        np.mean([getattr(each, name) for each in found], axis=0).tolist() for name in ("mean", "std")
    )
    return Normalisation(mean=tuple(mean), std=tuple(std))


def _sums(members: Sequence[Whole]) -> dict[str, object]:
    """Return how many members there are, and what they took and hold together."""
    records = [member.record for member in members]
    seconds = sum(record.seconds or 0.0 for record in records)
    images = sum((record.seconds or 0.0) * (record.images_per_second or 0.0) for record in records)
    return {
        "arch": _arch(members),
        "members": len(records),
        "seconds": seconds,
        "epochs_run": sum(record.epochs_run for record in records),
        "best_epoch": None,
        "parameters": sum(record.parameters for record in records),
        "images_per_second": images / seconds if seconds else None,
    }
