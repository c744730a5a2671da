"""From settings and data to everything the training loop needs."""

import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import MachineError
from medimg_cli.preprocessing.automatic_choices import epochs_for, patience_for
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.requirements_for_training import LossName, answers_for, loss_for
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.training.augmentation.augment import Augment, preset
from medimg_cli.training.batches import PixelBatches, Targets, balanced_weights
from medimg_cli.training.fitting.losses import balanced_positives
from medimg_cli.training.networks.networks import architecture
from medimg_cli.workspace.progress import Progress
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


_CPU_FACTS = Path("/proc/cpuinfo")
# As Linux names what multiplies bfloat16: whole tiles (AMX), and beside it vectors of Intel, AMD and Arm. On a
# processor with the vectors alone a training step took 1.03 to 1.34 times the CPU time it takes in fp32 (resnet18 at
# 64 px, small-cnn at 128 and 28 px; torch 2.13), so these do not make a processor fast in it.
_FAST_BF16 = "amx_bf16"
_HAVE_BF16 = frozenset({_FAST_BF16, "avx512_bf16", "bf16"})
_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def processor_flags(facts: Path = _CPU_FACTS) -> frozenset[str]:
    """Return what the first processor says it can do; empty where the system does not tell (it is not Linux)."""
    if platform.system() != "Linux" or not facts.is_file():
        return frozenset()
    for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return frozenset(values.split())
    return frozenset()


def precision_of(wanted: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16: what is `wanted`, or with "auto" the shortest one that `device` gains from.

    A processor gains from bfloat16 where it multiplies whole tiles of it, and nowhere from fp16.

    Raises:
        MachineError: `device` cannot train in it at all.
    """
    if wanted == "fp32" or (wanted == "auto" and device.type not in ("cpu", "cuda")):
        return "fp32"
    if device.type not in ("cpu", "cuda"):
        raise MachineError(f"--precision {wanted} is not there on {device.type}", "give --precision fp32")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _FAST_BF16 in processor_flags() else "fp32"


def warn_of_slow_precision(wanted: str, device: torch.device, progress: Progress) -> None:
    """Say so where a format was asked for that this processor only imitates.

    Without any instruction for bfloat16 a product of matrices took 55 times as long in it as in fp32.
    """
    slow = wanted == "fp16" or (wanted == "bf16" and not processor_flags() & _HAVE_BF16)
    if device.type == "cpu" and slow:
        progress.warn(
            f"--precision {wanted}: this processor has no instructions for it, and takes many times as long as in fp32"
        )


class Precision:
    """Casts the forward pass, and keeps small gradients of fp16 above zero (Micikevicius et al. 2018, arXiv:1710.03740).

    Args:
        name: fp32, bf16 or fp16. In fp32 nothing changes, to the bit.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._dtype, self._device = _DTYPES[name], device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def casting(self) -> AbstractContextManager[Any]:
        """Return the context for a forward pass."""
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, scaled where the format needs it."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, network: nn.Module, clip: float) -> None:
        """Clip the gradients to the norm `clip` (0 = any) and move; gradients that overflowed move nothing."""
        self._scaler.unscale_(optimizer)
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return what changes while training; empty but for fp16."""
        return dict(self._scaler.state_dict())

    def restore(self, state: Mapping[str, Any]) -> None:
        self._scaler.load_state_dict(dict(state))
