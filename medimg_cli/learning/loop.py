"""The training loop: one-cycle AdamW, averaged weights, the best epoch kept."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from medimg_cli.core.progress import Progress
from medimg_cli.errors import RunError
from medimg_cli.learning.augment import Augment
from medimg_cli.learning.dataset import PixelBatches
from medimg_cli.learning.device import on_device
from medimg_cli.learning.normalise import Normaliser
from medimg_cli.learning.scoring import predict_logits, softmax, watched_figures

_WARM_UP_SHARE = 0.15
_MAX_GRADIENT_NORM = 5.0
_LOWER_IS_BETTER = frozenset({"loss"})


@dataclass(frozen=True)
class TrainingPlan:
    """Everything the loop needs to know besides data and network.

    Args:
        epochs: passes over the training split at most.
        lr: highest learning rate; it is reached after 15 % of the steps, then falls to 0 (cosine).
        class_weights: (C,), weight of each class in the loss.
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


@dataclass
class Fit:
    """What training leaves.

    Args:
        state: the best epoch's weights.
        best_epoch: counted from 1.
        history: one mapping per epoch: epoch, train_loss, val_loss, val_auroc, val_recall, val_f1, lr,
            seconds.
        interrupted: the user stopped it; the best epoch so far is kept.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False


def fit(
    network: nn.Module,
    train: PixelBatches,
    val: PixelBatches,
    normaliser: Normaliser,
    plan: TrainingPlan,
    progress: Progress,
    on_epoch: Callable[[Fit], None] = lambda _: None,
) -> Fit:
    """Train `network` and return its best epoch by the plan's monitor on validation.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was over.
        RunError: the loss is not a number.
    """
    torch.manual_seed(plan.seed)
    trainer = _Trainer(network, train, normaliser, plan)
    result = Fit()
    best = -math.inf
    try:
        for epoch in range(1, plan.epochs + 1):
            began = time.perf_counter()
            progress.start(f"epoch {epoch}/{plan.epochs}", len(train))
            train_loss = trainer.run_epoch(progress)
            progress.finish()
            figures = trainer.validate(val)
            row = {"epoch": float(epoch), "train_loss": train_loss}
            row |= {f"val_{name}": value for name, value in figures.items()}
            row |= {"lr": trainer.lr, "seconds": time.perf_counter() - began}
            result.history.append(row)
            progress.epoch(row)
            score = _score(figures, plan.monitor)
            if score > best or not result.state:
                best = score
                result.best_epoch = epoch
                result.state = trainer.state()
            on_epoch(result)
            if epoch - result.best_epoch >= plan.patience:
                progress.note(f"no better {plan.monitor} for {plan.patience} epochs: stopped")
                break
    except KeyboardInterrupt:
        if not result.state:
            raise
        result.interrupted = True
    finally:
        progress.finish()
    return result


class _Trainer:
    """Network, optimizer, schedule and averaged weights that move together."""

    def __init__(
        self, network: nn.Module, train: PixelBatches, normaliser: Normaliser, plan: TrainingPlan
    ) -> None:
        self._network = on_device(network, plan.device)
        self._train, self._normaliser, self._plan = train, normaliser, plan
        self._class_weights = plan.class_weights.to(plan.device, torch.float32)
        self._generator = torch.Generator().manual_seed(plan.seed)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(network, plan.weight_decay), lr=plan.lr, fused=plan.device.type != "mps"
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=plan.lr,
            total_steps=max(2, plan.epochs * train.batches),
            pct_start=_WARM_UP_SHARE,
            cycle_momentum=False,
        )
        self._average = (
            AveragedModel(self._network, multi_avg_fn=_moving_average(plan.ema), use_buffers=True)
            if plan.ema
            else None
        )

    @property
    def lr(self) -> float:
        """Return the learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def run_epoch(self, progress: Progress) -> float:
        """Pass once over the training split and return its mean loss."""
        self._network.train()
        total, count = 0.0, 0
        for images, targets in self._train.shuffled(self._generator):
            loss = self._step(images, targets)
            if not math.isfinite(loss):
                raise RunError(
                    f"the training loss became {loss}",
                    "lower --lr, or look at the images with `medimg label-audit`",
                )
            total += loss * len(targets)
            count += len(targets)
            progress.advance(len(targets))
        return total / count

    def _step(self, images: Tensor, targets: Tensor) -> float:
        inputs = self._normaliser(self._plan.augment(images, self._generator))
        loss = F.cross_entropy(
            self._network(inputs),
            targets.to(self._plan.device),
            weight=self._class_weights,
            label_smoothing=self._plan.label_smoothing,
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._network)
        return float(loss.item())

    def validate(self, val: PixelBatches) -> Mapping[str, float]:
        """Return the watched figures of the kept weights on validation."""
        probabilities = softmax(predict_logits(self._kept(), val, self._normaliser))
        return watched_figures(probabilities, val.targets, self._plan.positive)

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the kept weights."""
        return {key: value.detach().clone() for key, value in self._kept().state_dict().items()}

    def _kept(self) -> nn.Module:
        if self._average is None:
            return self._network
        averaged: nn.Module = self._average.module
        return averaged


def _moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update of exponentially averaged tensors; early steps average over few, so that the
    random start is soon forgotten."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        for kept, latest in zip(averaged, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(latest, share)
            else:
                kept.copy_(latest)

    return update


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay the weights of layers only: biases and normalisation scales keep their freedom."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    free = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _score(figures: Mapping[str, float], monitor: str) -> float:
    """Return the monitored figure, higher is better; the loss breaks ties."""
    value = figures[monitor]
    if math.isnan(value):
        value = -math.inf
    if monitor in _LOWER_IS_BETTER:
        return -value
    return value - 1e-6 * figures["loss"]
