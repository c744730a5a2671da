"""From settings and data to everything the training loop needs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.preprocessing.automatic_choices import epochs_for, patience_for
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.losses_for_labels import LossName, answers_for, loss_for
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.training.augmentation.augment import Augment, preset
from medimg_cli.training.batches import PixelBatches, Targets, balanced_weights
from medimg_cli.training.fitting.losses import balanced_positives
from medimg_cli.training.fitting.precision import precision_of
from medimg_cli.training.networks.networks import architecture
from medimg_cli.workspace.settings import Settings, TrainSettings

# MobileNetV2 on 320 breast ultrasound images of 64 px, head first, then all layers for 200 steps, one seed: macro AUROC
# on validation 0.894 with 1, 0.875 with 0.8, 0.851 with 0.5, 0.820 with 0.3 (0.859 at three times the rate).
_LAYER_DECAY = 1.0


@dataclass(frozen=True)
class TrainingPlan:
    """Everything the loop needs to know besides data and network.

    Args:
        epochs: passes over the training split at most.
        lr: highest learning rate; it is reached after 15 % of the steps, then falls to 0 (cosine).
        class_weights: (C,), weight of each class in the loss.
        loss: ce, focal, bce or ordinal; focal with `focal_gamma`.
        answers: how logits become probabilities.
        mixup: alpha of mixup, 0 = none.
        cutmix: alpha of cutmix, 0 = none; with both, each batch draws one of them.
        layer_decay: how much slower each third of the backbone learns than what follows it; 1 = all alike.
        accumulate: batches whose gradients make one step.
        clip: largest norm of the gradients, 0 = any.
        target_recall: recall at which the watched specificity is read.
        ema: decay of the averaged weights per step, which are what is validated and kept; 0 = none.
        augment: changes a batch (B, C, H, W) uint8 into floats 0..255.
        monitor: the validation figure that picks the best epoch.
        patience: epochs without a better one before stopping.
        positive: indices of the positive classes, none when not stated.
        precision: fp32, bf16 or fp16, of the forward pass in training.
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
    positive: tuple[int, ...]
    seed: int
    device: torch.device
    loss: LossName = "ce"
    answers: AnswerKind = "softmax"
    focal_gamma: float = 2.0
    mixup: float = 0.0
    accumulate: int = 1
    clip: float = 5.0
    target_recall: float = 0.95
    precision: str = "fp32"
    layer_decay: float = 1.0
    cutmix: float = 0.0


def plan_training(
    settings: TrainSettings, train: PixelBatches, labels: LabelSpace, device: torch.device
) -> TrainingPlan:
    """Return the plan; what the settings leave open follows from the network and the number of images."""
    named = architecture(settings.arch)
    epochs = settings.epochs or epochs_for(named.epochs, train.batches).value
    classes = len(labels.classes)
    loss = loss_for(settings, labels)
    return TrainingPlan(
        epochs=epochs,
        lr=rate_or(settings, named.lr),
        weight_decay=settings.weight_decay,
        label_smoothing=settings.label_smoothing,
        class_weights=torch.from_numpy(_class_weights(settings, train.targets, classes)),
        ema=settings.ema,
        augment=preset(settings.augment),
        monitor=settings.monitor,
        patience=settings.patience or patience_for(epochs).value,
        positive=tuple(map(labels.classes.index, labels.positives)),
        seed=settings.seed,
        device=device,
        loss=loss,
        answers=answers_for(loss, labels),
        focal_gamma=settings.focal_gamma,
        mixup=settings.mixup,
        accumulate=settings.accumulate,
        clip=settings.clip,
        target_recall=settings.target_recall,
        precision=precision_of(settings.precision, device),
        layer_decay=settings.layer_decay or _LAYER_DECAY,
        cutmix=settings.cutmix,
    )


def _class_weights(settings: TrainSettings, targets: Targets, classes: int) -> NDArray[np.float64]:
    """Return the weights (C,) of the classes in the loss; of several labels an image, of their positives."""
    # A sampler that draws the classes evenly has done what the weights would do again.
    if settings.class_weights == "none" or settings.sampler != "none":
        return np.ones(classes)
    if targets.ndim == 2:
        return balanced_positives(targets.astype(np.float32))
    return balanced_weights(targets.astype(np.int64), classes)


def rate_or(settings: TrainSettings, usual: float) -> float:
    """Return the learning rate that the settings give, or the `usual` one; the range test, if asked for, comes later."""
    return settings.lr if isinstance(settings.lr, float) else usual


def settings_in_force(settings: Settings, recipe: Recipe, plan: TrainingPlan) -> Settings:
    """Return the settings with what was left open filled in: given again, they give the same run."""
    train = {
        "epochs": plan.epochs,
        "lr": plan.lr,
        "patience": plan.patience,
        "time_limit": None,  # what fitted into it stands above
        "loss": plan.loss,
        "precision": plan.precision,
        "layer_decay": plan.layer_decay,
    }
    preprocess = {"size": recipe.size_px, "channels": recipe.channels, "bits": recipe.bits}
    return settings.model_copy(
        update={
            "train": settings.train.model_copy(update=train),
            "preprocess": settings.preprocess.model_copy(update=preprocess),
        }
    )
