"""train: cache → run."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from torch import nn

from medimg_cli.core.cache import PixelCache
from medimg_cli.core.files import write_text
from medimg_cli.core.lock import locked
from medimg_cli.core.manifest import Dataset, read_dataset, require_single_label, write_table
from medimg_cli.core.operating_point import choose_threshold
from medimg_cli.core.predictions import predictions_frame, write_predictions
from medimg_cli.core.progress import LoggedProgress, Progress, SilentProgress
from medimg_cli.core.run import Fingerprint, ModelCard, Run, RunRecord, Threshold, new_run, now
from medimg_cli.core.run_record import first_record, resumed_record, state_key
from medimg_cli.core.settings import Settings, TrainSettings
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError
from medimg_cli.learning.augment import preset
from medimg_cli.learning.checkpoint import load_state, save_state, save_weights
from medimg_cli.learning.dataset import PixelBatches
from medimg_cli.learning.device import choose_device, on_device, prepare_processor
from medimg_cli.learning.features import fit_head, head_plan
from medimg_cli.learning.loop import fit
from medimg_cli.learning.networks import architecture, parameter_count
from medimg_cli.learning.normalise import Normaliser
from medimg_cli.learning.plan import plan_training, settings_in_force
from medimg_cli.learning.scoring import predict_logits, softmax
from medimg_cli.learning.start import Start, check_freeze, frozen_part, starting_network
from medimg_cli.learning.trainer import Fit, Snapshot


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
    with locked(run.lock_path, doing=f"training run '{run.name}'"):
        progress = LoggedProgress(progress, run.log_path)
        record = first_record(run, chosen, dataset, cache.recipe, device=str(device), root=workspace.root)
        training = _Training(dataset, chosen, cache, run, record, device, progress)
        used = settings_in_force(settings, cache.recipe, training.plan)
        training.key = state_key(used.train, record) + frozen_part(chosen)
        state = None if resume is None else load_state(run, training.key)
        if resume is None:
            run.write_record(record)
            write_text(run.config_path, yaml.safe_dump(used.model_dump(mode="json"), sort_keys=False))
        else:
            training.record = resumed_record(run, record)
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
        dataset: Dataset,
        chosen: TrainSettings,
        cache: PixelCache,
        run: Run,
        record: RunRecord,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.dataset, self.chosen, self.cache, self.run = dataset, chosen, cache, run
        self.record, self.device, self.progress = record, device, progress
        self.train_batches = self._batches("train")
        self.val_batches = self._batches("val")
        plan = plan_training(chosen, self.train_batches, dataset.labels, device)
        frozen = chosen.freeze == "backbone"
        self.plan = head_plan(plan, chosen, self.train_batches.batches) if frozen else plan
        self.key = ""

    def result(self, state: Snapshot | None = None) -> TrainResult:
        prepare_processor()
        began = time.perf_counter()
        torch.manual_seed(self.chosen.seed)
        classes = len(self.dataset.info.classes)
        start = starting_network(self.chosen, classes, self.cache.recipe, self.train_batches, self.progress)
        network = on_device(start.network, self.device)
        normaliser = Normaliser(start.normalisation, self.device)
        outcome = self._fit(start, normaliser, state)
        logits = predict_logits(network, self.val_batches, normaliser)
        card = self._write_model(start, softmax(logits))
        return self._finish(outcome, card, network, time.perf_counter() - began)

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

    def _batches(self, split: str) -> PixelBatches:
        rows = self.dataset.of_split(split)
        return PixelBatches(
            self.cache.pixels,
            self.cache.positions(rows["image_id"].tolist()),
            self.dataset.labels.encode(rows["label"].tolist()),
            self.chosen.batch_size,
            even=split == "train" and self.chosen.sampler == "weighted",
        )

    def _write_model(self, start: Start, probabilities: NDArray[np.float64]) -> ModelCard:
        labels, info = self.dataset.labels, self.dataset.info
        threshold = None
        if labels.positive_index is not None and len(labels.classes) == 2:
            threshold = choose_threshold(
                self.val_batches.targets == labels.positive_index,
                probabilities[:, labels.positive_index],
                target_recall=self.chosen.target_recall,
                split="val",
            )
        train_rows = self.dataset.of_split("train")
        card = ModelCard(
            arch=self.chosen.arch,
            classes=info.classes,
            positive=info.positive,
            recipe=self.cache.recipe,
            normalisation=start.normalisation,
            threshold=threshold,
            fingerprint=Fingerprint(
                dataset_hash=self.dataset.content_hash(),
                train_images=len(train_rows),
                train_patients=int(train_rows["patient_id"].nunique()),
                val_images=len(self.val_batches),
                class_counts={str(name): int(n) for name, n in train_rows["label"].value_counts().items()},
            ),
            weights_sha256=save_weights(self.run, start.network.state_dict()),
            head=start.head,
        )
        table = predictions_frame(
            self.dataset.of_split("val"),
            probabilities,
            classes=info.classes,
            positive=info.positive,
            threshold=threshold.value if threshold else None,
        )
        write_predictions(self.run.predictions_path("val"), table)
        self.run.write_card(card)
        return card

    def _finish(self, outcome: Fit, card: ModelCard, network: nn.Module, seconds: float) -> TrainResult:
        best = outcome.history[outcome.best_epoch - 1]
        val: dict[str, float | None] = {
            name: best[f"val_{name}"] for name in ("loss", "auroc", "recall", "f1")
        }
        if card.threshold is not None:
            val["recall_at_threshold"] = card.threshold.achieved_recall
            val["specificity_at_threshold"] = card.threshold.achieved_specificity
        epochs_run = len(outcome.history)
        # Epochs of a head alone say nothing of the time that its features took.
        frozen = self.chosen.freeze == "backbone"
        training_seconds = seconds if frozen else sum(row["seconds"] for row in outcome.history)
        rate = epochs_run * len(self.train_batches) / training_seconds
        self.run.write_record(
            self.record.model_copy(
                update={
                    "status": "interrupted" if outcome.interrupted else "complete",
                    "finished": now(),
                    "seconds": seconds,
                    "epochs_run": epochs_run,
                    "best_epoch": outcome.best_epoch,
                    "parameters": parameter_count(network),
                    "images_per_second": rate,
                    "val": val,
                }
            )
        )
        if not outcome.interrupted:
            self.run.state_path.unlink(missing_ok=True)
        return TrainResult(
            run=self.run,
            arch=self.chosen.arch,
            epochs_run=epochs_run,
            best_epoch=outcome.best_epoch,
            val=val,
            seconds=seconds,
            images_per_second=rate,
            parameters=parameter_count(network),
            device=str(self.device),
            threshold=card.threshold,
            interrupted=outcome.interrupted,
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
