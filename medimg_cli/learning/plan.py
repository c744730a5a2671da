"""From settings and data to everything the training loop needs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.core.labels import LabelSpace
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.settings import Settings, TrainSettings
from medimg_cli.learning.augment import Augment, preset
from medimg_cli.learning.dataset import PixelBatches, balanced_weights
from medimg_cli.learning.networks import architecture

_LEAST_STEPS = 1000
_MOST_EPOCHS = 60
_LEAST_PATIENCE = 8


@dataclass(frozen=True)
class TrainingPlan:
    """Everything the loop needs to know besides data and network.

    Args:
        epochs: passes over the training split at most.
        lr: highest learning rate; it is reached after 15 % of the steps, then falls to 0 (cosine).
        class_weights: (C,), weight of each class in the loss.
        loss: ce or focal, the latter with `focal_gamma`.
        mixup: alpha of mixup, 0 = none.
        accumulate: batches whose gradients make one step.
        clip: largest norm of the gradients, 0 = any.
        target_recall: recall at which the watched specificity is read.
        ema: decay of the averaged weights per step, which are what is validated and kept; 0 = none.
        augment: changes a batch (B, C, H, W) uint8 into floats 0..255.
        monitor: the validation figure that picks the best epoch.
        patience: epochs without a better one before stopping.
        positive: index of the positive class, None when not stated.
    """

    epochs: int
    lr: float
    weight_decay: float
    label_smoothing: float
    class_weights: Tensor
    ema: float
    augment: Augment
    monitor: str
    patience: int
    positive: int | None
    seed: int
    device: torch.device
    loss: str = "ce"
    focal_gamma: float = 2.0
    mixup: float = 0.0
    accumulate: int = 1
    clip: float = 5.0
    target_recall: float = 0.95


def plan_training(
    settings: TrainSettings, train: PixelBatches, labels: LabelSpace, device: torch.device
) -> TrainingPlan:
    """Return the plan; what the settings leave open follows from the network and the number of images."""
    named = architecture(settings.arch)
    epochs = settings.epochs or enough_epochs(named.epochs, train.batches)
    classes = len(labels.classes)
    weights: NDArray[np.float64] = np.ones(classes)
    # A sampler that draws the classes evenly has done what the weights would do again.
    if settings.class_weights == "balanced" and settings.sampler == "none":
        weights = balanced_weights(train.targets, classes)
    return TrainingPlan(
        epochs=epochs,
        lr=settings.lr or named.lr,
        weight_decay=settings.weight_decay,
        label_smoothing=settings.label_smoothing,
        class_weights=torch.from_numpy(weights),
        ema=settings.ema,
        augment=preset(settings.augment),
        monitor=settings.monitor,
        patience=settings.patience or max(_LEAST_PATIENCE, epochs // 3),
        positive=labels.positive_index,
        seed=settings.seed,
        device=device,
        loss=settings.loss,
        focal_gamma=settings.focal_gamma,
        mixup=settings.mixup,
        accumulate=settings.accumulate,
        clip=settings.clip,
        target_recall=settings.target_recall,
    )


def enough_epochs(epochs: int, steps_an_epoch: int) -> int:
    """Return more epochs where few images make few steps: about 1,000 steps, but 60 epochs at most.

    >>> enough_epochs(12, 134), enough_epochs(12, 25), enough_epochs(12, 2)
    (12, 40, 60)
    """
    return max(epochs, min(_MOST_EPOCHS, -(-_LEAST_STEPS // steps_an_epoch)))


def settings_in_force(settings: Settings, recipe: Recipe, plan: TrainingPlan) -> Settings:
    """Return the settings with what was left open filled in: given again, they give the same run."""
    train = {"epochs": plan.epochs, "lr": plan.lr, "patience": plan.patience}
    preprocess = {"size": recipe.size_px, "channels": recipe.channels, "bits": recipe.bits}
    return settings.model_copy(
        update={
            "train": settings.train.model_copy(update=train),
            "preprocess": settings.preprocess.model_copy(update=preprocess),
        }
    )
