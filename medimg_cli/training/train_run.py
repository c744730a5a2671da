"""The network of one run: its data, its training, and what it leaves in the run's folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import deal_folds
from medimg_cli.errors import RunError
from medimg_cli.inference.image_features import measure_pixels
from medimg_cli.predictions.exams import exams_chosen
from medimg_cli.predictions.operating_point import OperatingPoint, usual_point
from medimg_cli.predictions.predictions import digest_of, predictions_of, read_predictions, write_predictions
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Fingerprint, ModelCard, Run, RunRecord
from medimg_cli.statistics.probabilities import probabilities_from, questions_of
from medimg_cli.statistics.recalibration import fit_temperature
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.checkpoint import save_state, save_weights
from medimg_cli.training.device import Normaliser, on_device, prepare_processor
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.explanation.sanity_check import explain_run
from medimg_cli.training.fitting.features import (
    fit_head,
    fit_logistic_head,
    head_plan,
    kept_features,
    views_of,
)
from medimg_cli.training.fitting.loop import BrokenLoss, divergence, fine_tune, fit
from medimg_cli.training.fitting.lr_range import try_rates
from medimg_cli.training.fitting.plan import TrainingPlan, plan_training
from medimg_cli.training.fitting.scoring import SHOWN, predict_logits
from medimg_cli.training.fitting.time_limit import Deadline, within_limit
from medimg_cli.training.fitting.trainer import Fit, Snapshot
from medimg_cli.training.networks.initialise import Start, starting_network
from medimg_cli.training.networks.networks import parameter_count
from medimg_cli.training.onnx.export import PARITY_IMAGES, with_copy
from medimg_cli.training.ood.references import MOST_IMAGES, Images, with_reference, with_sets
from medimg_cli.training.tracking import Tracker
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.threads import map_ordered

_NAMED = 3
_TIMED_IMAGES = 32
_SECONDS_OF_COPY_AND_MAPS, _SLOWER = 5.0, 1.3
_PENALTY_FOLDS = 5


@dataclass(frozen=True)
class Material:
    """What one network learns from.

    Args:
        dataset: the whole data set, for its classes and its hash.
        train, val: manifest rows the network is fitted to, and those its epoch and threshold are chosen on.
        cache: holds the pixels of both.
        part: what tells this choice of rows from others of the same data set; empty for its own split.
    """

    dataset: Dataset
    train: pd.DataFrame
    val: pd.DataFrame
    cache: PixelCache
    part: str = ""


@dataclass(frozen=True)
class Trained:
    """What one training left in its run's folder.

    Args:
        record: as `run.json` holds it.
        interrupted: stopped by the user; the best epoch so far is the model.
        broken: why training could not go on, empty when it could; the best epoch so far is the model.
    """

    run: Run
    card: ModelCard
    record: RunRecord
    interrupted: bool
    broken: str = ""


class OneTraining:
    """One training: its data, its network, and what it leaves in the run's folder."""

    def __init__(
        self,
        material: Material,
        settings: Settings,
        run: Run,
        record: RunRecord,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.material, self.chosen, self.run = material, settings.train, run
        self.record, self.device, self.progress = record, device, progress
        self.train_batches = self._batches(material.train, even=self.chosen.sampler == "weighted")
        self.val_batches = self._batches(material.val, even=False)
        plan = plan_training(self.chosen, self.train_batches, material.dataset.labels, device)
        self._frozen = self.chosen.freeze == "backbone"
        head = head_plan(plan, self.chosen, self.train_batches.batches)
        self.plan = head if self._frozen else plan
        self.head_plan = head if self.chosen.freezes_epochs else None
        self.key = ""
        self.on_epoch: Callable[[Fit], None] | None = None
        self.tracker: Tracker

    @cached_property
    def _start(self) -> Start:
        """Return the network as training begins with it, the same for the same seed."""
        prepare_processor()
        torch.manual_seed(self.chosen.seed)
        classes, recipe = len(self.material.dataset.info.classes), self.material.cache.recipe
        return starting_network(self.chosen, classes, recipe, self.train_batches, self.progress)

    def find_rate(self) -> None:
        """Give the plan the learning rate of a range test, where one was asked for, and keep the test's curve."""
        if self.chosen.lr != "auto":
            return
        start = self._start
        normaliser = Normaliser(start.normalisation, self.device)
        found = try_rates(start.network, self.train_batches, normaliser, self.plan, self.progress)
        if here().leads:
            write_table(self.run.lr_range_path, found.table())
        self.progress.note(found.sentence(self.plan.lr))
        self.plan = replace(self.plan, lr=found.lr or self.plan.lr)

    def fit_into_limit(self) -> None:
        """Give the plan as many epochs as fit into the time limit, where there is one, and end the training with it."""
        if self.chosen.time_limit is None:
            return
        ends = time.perf_counter() + self.chosen.time_limit - self._seconds_afterwards()
        start, batches = self._start, (self.train_batches, self.val_batches)
        prepare = Normaliser(start.normalisation, self.device)
        views = views_of(len(self.train_batches), self.chosen.augment)
        self.plan = within_limit(
            start.network, batches, prepare, self.plan, self.chosen, self.progress, ends=ends, views=views
        )
        self.progress = Deadline(self.progress, ends)

    def _seconds_afterwards(self) -> float:
        """Return what the steps after the last epoch take at this machine's pace: measuring images is most of it."""
        if not AFTER_TRAINING:
            return 0.0
        train, val, recipe = self.train_batches, self.val_batches, self.material.cache.recipe
        began, side = time.perf_counter(), float(recipe.size_px)
        timed = [train.pixels[place] for place in train.positions[:_TIMED_IMAGES]]
        tuple(map_ordered(lambda pixels: measure_pixels(pixels, recipe, side, side), timed))
        each = (time.perf_counter() - began) / len(timed)
        measured = 2 * min(MOST_IMAGES, len(train)) + min(MOST_IMAGES, len(val))
        return _SECONDS_OF_COPY_AND_MAPS + _SLOWER * each * measured

    def result(self, state: Snapshot | None) -> Trained:
        began = time.perf_counter()
        start = self._start
        network = on_device(start.network, self.device)
        normaliser = Normaliser(start.normalisation, self.device)
        try:
            outcome = self._fit(start, normaliser, state)
        except BrokenLoss as error:
            raise RunError(f"{error.what}: {self._named_batch(error.places)}", error.hint) from error
        if outcome.broken:
            self.progress.warn(self._named_batch(outcome.broken_at))
        remark = divergence(outcome.history, len(self.material.dataset.info.classes))
        if remark:
            self.progress.warn(remark)
        logits = predict_logits(network, self.val_batches, normaliser, world=here())
        answers = self.plan.answers
        calibration = fit_temperature(*questions_of(logits, self.val_batches.targets, answers))
        if calibration.remark:
            self.progress.note(f"temperature {calibration.temperature:g}: {calibration.remark}")
        temperature = calibration.temperature
        probabilities = probabilities_from(logits / temperature, answers)
        card = self._card(start, probabilities, temperature)
        parameters = parameter_count(network)
        if outcome.interrupted:  # a signal leaves seconds: what follows may be cut off, the model is there
            self.run.write_card(card)
            self.run.write_record(self._record_of(outcome, card, parameters, time.perf_counter() - began))
        if here().leads:
            finished = Finished(self, card, start.network, probabilities)
            for step in AFTER_TRAINING.values():
                finished = replace(finished, card=step(finished))
            card = finished.card
        self.run.write_card(card)
        record = self._record_of(outcome, card, parameters, time.perf_counter() - began)
        self.run.write_record(record)
        self.tracker.finish(record)
        if record.status == "complete":
            self.run.state_path.unlink(missing_ok=True)
        return Trained(self.run, card, record, outcome.interrupted, outcome.broken)

    def _fit(self, start: Start, normaliser: Normaliser, state: Snapshot | None) -> Fit:
        """Train, and leave the best epoch's weights in the network."""
        data = self.train_batches, self.val_batches, normaliser
        if start.backbone is not None and self.head_plan is None:
            return self._fit_head(start, normaliser, self.plan, self._keep, state)
        if self.head_plan is None:
            outcome = fit(start.network, *data, self.plan, self.progress, on_epoch=self._keep, resume=state)
        else:
            outcome = fine_tune(
                start.network,
                *data,
                self.plan,
                self.progress,
                partial(self._fit_head, start, normaliser, self.head_plan),
                on_epoch=self._keep,
                resume=state,
            )
        start.network.load_state_dict(outcome.state)
        return outcome

    def _fit_head(
        self,
        start: Start,
        normaliser: Normaliser,
        plan: TrainingPlan,
        on_epoch: Callable[[Fit, Snapshot], None],
        state: Snapshot | None,
    ) -> Fit:
        """Train the head alone, and leave its best epoch in the network."""
        assert start.backbone is not None, "nothing is frozen"
        cache, chosen = self.material.cache, self.chosen
        kept = kept_features(
            start.backbone, chosen.arch, start.normalisation, self.device, cache.folder.parent
        )
        data = start.backbone, self.train_batches, self.val_batches, normaliser, plan, self.progress
        if chosen.head == "own":
            return fit_head(*data, chosen.augment, on_epoch=on_epoch, resume=state, kept=kept)
        dealt = deal_folds(self.material.dataset, self.material.train, _PENALTY_FOLDS, seed=chosen.seed)
        return fit_logistic_head(*data, np.array(dealt, dtype=np.int64), on_epoch=on_epoch, kept=kept)

    def _named_batch(self, places: NDArray[np.int64]) -> str:
        """Return which images were in a batch, the first few; all of them go into the log."""
        image_ids = self.material.train["image_id"].iloc[places].tolist()
        more = (
            f" and {len(image_ids) - _NAMED} more, see {self.run.log_path}" if len(image_ids) > _NAMED else ""
        )
        with self.run.log_path.open("a", encoding="utf-8") as log:
            log.writelines(f"in the batch: {name}\n" for name in image_ids)
        return f"its batch was {', '.join(image_ids[:_NAMED])}{more}"

    def _keep(self, fit: Fit, snapshot: Snapshot) -> None:
        """Write what an epoch adds; the state goes last, so that what it promises is there."""
        write_table(self.run.history_path, pd.DataFrame(fit.history))
        self.tracker.epoch(fit.history[-1])
        if self.on_epoch is not None:
            self.on_epoch(fit)
        elif here().leads and not fit.is_over(self.plan):
            save_state(self.run, self.key, snapshot)

    def _batches(self, rows: pd.DataFrame, *, even: bool) -> PixelBatches:
        cache, dataset = self.material.cache, self.material.dataset
        return PixelBatches(
            cache.pixels,
            cache.positions(rows["image_id"].tolist()),
            targets=dataset.targets(rows),
            batch_size=self.chosen.images_a_step,
            even=even,
        )

    def _card(self, start: Start, probabilities: NDArray[np.float64], temperature: float) -> ModelCard:
        """Write weights and the answers to validation; return the card of them."""
        dataset, train_rows = self.material.dataset, self.material.train
        info = dataset.info
        known = info.patients_known
        choose = partial(usual_point, dataset.labels, self.chosen, "val")
        point = choose(self.val_batches.targets, probabilities, sampling_of(self.material.val, known=known))
        table = predictions_of(dataset, self.material.val, probabilities, point)
        card = ModelCard(
            arch=self.chosen.arch,
            classes=info.classes,
            positive=info.positive,
            recipe=self.material.cache.recipe,
            normalisation=start.normalisation,
            threshold=point.threshold,
            thresholds=dict(point.thresholds),
            answers=self.plan.answers,
            fingerprint=Fingerprint(
                dataset_hash=dataset.content_hash(),
                train_images=len(train_rows),
                train_patients=int(train_rows["patient_id"].nunique()),
                val_images=len(self.val_batches),
                class_counts=dataset.counts(train_rows),
            ),
            weights_sha256=save_weights(self.run, start.network.state_dict()),
            head=start.head,
            stem=start.stem,
            temperature=temperature,
            augment=self.chosen.augment,
            exams=exams_chosen(table, dataset.labels, info.exams_from, "val", choose, known=known),
            began_with=start.origin,
        )
        path = write_predictions(self.run.predictions_path("val"), table)
        return card.model_copy(update={"tuning_sha256": digest_of(read_predictions(path))})

    def _record_of(self, outcome: Fit, card: ModelCard, parameters: int, seconds: float) -> RunRecord:
        epochs_run = len(outcome.history)
        best: dict[str, float | None] = {
            name: outcome.history[outcome.best_epoch - 1][f"val_{name}"] for name in SHOWN
        }
        # Epochs of a head alone say nothing of the time that its features took.
        whole = [] if self._frozen else [row["seconds"] for row in outcome.history if row.get("phase") != 1]
        epochs_timed, training_seconds = (len(whole), sum(whole)) if whole else (epochs_run, seconds)
        return self.record.model_copy(
            update={
                "status": "interrupted" if outcome.interrupted or outcome.out_of_time else "complete",
                "finished": now(),
                "seconds": seconds,
                "epochs_run": epochs_run,
                "best_epoch": outcome.best_epoch,
                "parameters": parameters,
                "images_per_second": epochs_timed * len(self.train_batches) / training_seconds,
                "val": best | OperatingPoint(card.threshold, card.thresholds).figures(),
            }
        )


@dataclass(frozen=True)
class Finished:
    """A network whose training is over, for the steps that follow it.

    Args:
        training: what it was trained by.
        card: as the steps before left it.
        probabilities: (N, C) of the validation images, calibrated.
    """

    training: OneTraining
    card: ModelCard
    network: nn.Module
    probabilities: NDArray[np.float64]


def _onnx_copy(done: Finished) -> ModelCard:
    of = done.training
    return with_copy(of.run, done.card, done.network, of.train_batches.first(PARITY_IMAGES), of.progress)


def _ood_reference(done: Finished) -> ModelCard:
    of = done.training
    train = Images(of.train_batches.pixels, of.train_batches.positions, of.material.train)
    val = Images(of.val_batches.pixels, of.val_batches.positions, of.material.val)
    return with_reference(of.run, done.card, train, val, of.device, false_alarms=of.chosen.false_alarms)


def _heat_map_check(done: Finished) -> ModelCard:
    of = done.training
    explain_run(of.run, done.card, done.network, of.val_batches, of.material.val, of.progress)
    return done.card


AFTER_TRAINING: dict[str, Callable[[Finished], ModelCard]] = {
    "onnx": _onnx_copy,
    "prediction sets": lambda done: with_sets(
        done.card, done.probabilities, done.training.val_batches.targets, "val"
    ),
    "ood reference": _ood_reference,
    "heat maps": _heat_map_check,
}
"""What follows the last epoch, in order; each returns the model card with what it adds."""
