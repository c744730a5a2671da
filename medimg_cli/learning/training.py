"""One training: rows and pixels to a run's model, its history and its predictions on validation."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from medimg_cli.core.cache import PixelCache
from medimg_cli.core.files import write_text
from medimg_cli.core.lock import locked
from medimg_cli.core.manifest import Dataset, write_table
from medimg_cli.core.operating_point import choose_threshold
from medimg_cli.core.predictions import predictions_frame, write_predictions
from medimg_cli.core.progress import LoggedProgress, Progress
from medimg_cli.core.run import Fingerprint, ModelCard, Run, RunRecord, now
from medimg_cli.core.run_record import first_record, resumed_record, state_key
from medimg_cli.core.settings import Settings
from medimg_cli.learning.checkpoint import load_state, save_state, save_weights
from medimg_cli.learning.dataset import PixelBatches
from medimg_cli.learning.device import on_device, prepare_processor
from medimg_cli.learning.features import fit_head, head_plan
from medimg_cli.learning.loop import fit
from medimg_cli.learning.networks import parameter_count
from medimg_cli.learning.normalise import Normaliser
from medimg_cli.learning.plan import plan_training, settings_in_force
from medimg_cli.learning.scoring import predict_logits, softmax
from medimg_cli.learning.start import Start, frozen_part, starting_network
from medimg_cli.learning.trainer import Fit, Snapshot


@dataclass(frozen=True)
class Material:
    """What one network learns from.

    Args:
        dataset: the whole data set, for its classes and its hash.
        train, val: manifest rows the network is fitted to, and those its epoch and threshold are chosen on.
        cache: holds the pixels of both.
    """

    dataset: Dataset
    train: pd.DataFrame
    val: pd.DataFrame
    cache: PixelCache


@dataclass(frozen=True)
class Trained:
    """What one training left in its run's folder.

    Args:
        record: as `run.json` holds it.
        interrupted: stopped by the user; the best epoch so far is the model.
    """

    run: Run
    card: ModelCard
    record: RunRecord
    interrupted: bool


def train_run(
    run: Run,
    material: Material,
    settings: Settings,
    device: torch.device,
    progress: Progress,
    *,
    root: Path,
    resume: bool,
) -> Trained:
    """Train the network of one run under its lock, and keep what went wrong in its log.

    Args:
        run: its folder, new or of a training that is not over.
        settings: section `train` decides; written to the run's `config.yaml` with what was left open filled in.
        root: the workspace's folder, whose git commit is noted.
        resume: go on after the last whole epoch.

    Raises:
        RunError: the run cannot be resumed, or the loss was not a number before the first epoch was over.
        MachineError: another process is training this run.
        KeyboardInterrupt: stopped before the first epoch was over.
    """
    chosen = settings.train
    with locked(run.lock_path, doing=f"training run '{run.name}'"):
        progress = LoggedProgress(progress, run.log_path)
        recipe = material.cache.recipe
        record = first_record(run, chosen, material.dataset, recipe, device=str(device), root=root)
        training = _Training(material, settings, run, record, device, progress)
        used = settings_in_force(settings, recipe, training.plan)
        training.key = state_key(used.train, record) + frozen_part(chosen)
        state = load_state(run, training.key) if resume else None
        if resume:
            training.record = resumed_record(run, record)
        else:
            write_text(run.config_path, yaml.safe_dump(used.model_dump(mode="json"), sort_keys=False))
        run.write_record(training.record)
        try:
            return training.result(state)
        except BaseException:
            with run.log_path.open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
            raise


class _Training:
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
        self.plan = head_plan(plan, self.chosen, self.train_batches.batches) if self._frozen else plan
        self.key = ""

    def result(self, state: Snapshot | None) -> Trained:
        prepare_processor()
        began = time.perf_counter()
        torch.manual_seed(self.chosen.seed)
        classes, recipe = len(self.material.dataset.info.classes), self.material.cache.recipe
        start = starting_network(self.chosen, classes, recipe, self.train_batches, self.progress)
        network = on_device(start.network, self.device)
        normaliser = Normaliser(start.normalisation, self.device)
        outcome = self._fit(start, normaliser, state)
        logits = predict_logits(network, self.val_batches, normaliser)
        card = self._write_model(start, softmax(logits))
        record = self._finish(outcome, card, parameter_count(network), time.perf_counter() - began)
        return Trained(self.run, card, record, outcome.interrupted)

    def _fit(self, start: Start, normaliser: Normaliser, state: Snapshot | None) -> Fit:
        """Train, and leave the best epoch's weights in the network."""
        data = self.train_batches, self.val_batches, normaliser, self.plan, self.progress
        if start.backbone is not None:
            return fit_head(start.backbone, *data, self.chosen.augment, on_epoch=self._keep, resume=state)
        outcome = fit(start.network, *data, on_epoch=self._keep, resume=state)
        start.network.load_state_dict(outcome.state)
        return outcome

    def _keep(self, fit: Fit, snapshot: Snapshot) -> None:
        """Write what an epoch adds; the state goes last, so that what it promises is there."""
        write_table(self.run.history_path, pd.DataFrame(fit.history))
        if not fit.is_over(self.plan):
            save_state(self.run, self.key, snapshot)

    def _batches(self, rows: pd.DataFrame, *, even: bool) -> PixelBatches:
        cache, labels = self.material.cache, self.material.dataset.labels
        return PixelBatches(
            cache.pixels,
            cache.positions(rows["image_id"].tolist()),
            labels.encode(rows["label"].tolist()),
            self.chosen.batch_size,
            even=even,
        )

    def _write_model(self, start: Start, probabilities: NDArray[np.float64]) -> ModelCard:
        dataset, train_rows = self.material.dataset, self.material.train
        labels, info = dataset.labels, dataset.info
        threshold = None
        if labels.positive_index is not None and len(labels.classes) == 2:
            threshold = choose_threshold(
                self.val_batches.targets == labels.positive_index,
                probabilities[:, labels.positive_index],
                target_recall=self.chosen.target_recall,
                split="val",
            )
        card = ModelCard(
            arch=self.chosen.arch,
            classes=info.classes,
            positive=info.positive,
            recipe=self.material.cache.recipe,
            normalisation=start.normalisation,
            threshold=threshold,
            fingerprint=Fingerprint(
                dataset_hash=dataset.content_hash(),
                train_images=len(train_rows),
                train_patients=int(train_rows["patient_id"].nunique()),
                val_images=len(self.val_batches),
                class_counts={str(name): int(n) for name, n in train_rows["label"].value_counts().items()},
            ),
            weights_sha256=save_weights(self.run, start.network.state_dict()),
            head=start.head,
        )
        table = predictions_frame(
            self.material.val,
            probabilities,
            classes=info.classes,
            positive=info.positive,
            threshold=threshold.value if threshold else None,
        )
        write_predictions(self.run.predictions_path("val"), table)
        self.run.write_card(card)
        return card

    def _finish(self, outcome: Fit, card: ModelCard, parameters: int, seconds: float) -> RunRecord:
        """Write the run's record; the state goes when nothing is left to go on with."""
        epochs_run = len(outcome.history)
        # Epochs of a head alone say nothing of the time that its features took.
        training_seconds = seconds if self._frozen else sum(row["seconds"] for row in outcome.history)
        record = self.record.model_copy(
            update={
                "status": "interrupted" if outcome.interrupted else "complete",
                "finished": now(),
                "seconds": seconds,
                "epochs_run": epochs_run,
                "best_epoch": outcome.best_epoch,
                "parameters": parameters,
                "images_per_second": epochs_run * len(self.train_batches) / training_seconds,
                "val": _val_figures(outcome, card),
            }
        )
        self.run.write_record(record)
        if not outcome.interrupted:
            self.run.state_path.unlink(missing_ok=True)
        return record


def _val_figures(outcome: Fit, card: ModelCard) -> dict[str, float | None]:
    """Return the validation figures of the best epoch, and those at the chosen threshold."""
    best: Mapping[str, float] = outcome.history[outcome.best_epoch - 1]
    val: dict[str, float | None] = {name: best[f"val_{name}"] for name in ("loss", "auroc", "recall", "f1")}
    if card.threshold is not None:
        val["recall_at_threshold"] = card.threshold.achieved_recall
        val["specificity_at_threshold"] = card.threshold.achieved_specificity
    return val
