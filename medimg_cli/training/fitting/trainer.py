"""Network, optimizer, schedule and averaged weights that move together, and their state as a whole."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.errors import RunError
from medimg_cli.statistics.probabilities import probabilities_from
from medimg_cli.training.batches import Batch, Batches
from medimg_cli.training.device import Prepare, on_device
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.distributed.synchronised_layers import see_whole_batches, unwarned_if_empty
from medimg_cli.training.fitting.losses import mixed_batch, of_name
from medimg_cli.training.fitting.optimiser import averaged, optimiser_of, schedule_of
from medimg_cli.training.fitting.plan import Precision, TrainingPlan
from medimg_cli.training.fitting.scoring import predict_logits, watched_figures
from medimg_cli.workspace.progress import Progress


@dataclass
class Fit:
    """What training leaves.

    Args:
        state: the best epoch's weights.
        best_epoch: counted from 1.
        best_score: its monitored figure, higher is better.
        earlier: how many epochs of the history lie before the plan's: those of the head alone.
        history: one mapping per epoch: epoch, train_loss, `val_` and each of `scoring.Watched`, lr, seconds.
        interrupted: the user stopped it; the best epoch so far is kept.
        broken: why training could not go on, "" when it could; the best epoch so far is kept.
        broken_at: (B,) where the images of the batch that broke it stand in the training split.
        out_of_time: the time limit ended it; the best epoch so far is kept.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    broken: str = ""
    broken_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    out_of_time: bool = False
    earlier: int = 0

    def is_over(self, plan: TrainingPlan) -> bool:
        """Return whether no further epoch follows: all are done, or none was better for too long."""
        return len(self.history) >= self.earlier + plan.epochs or self.ran_out(plan)

    def ran_out(self, plan: TrainingPlan) -> bool:
        """Return whether the plan's patience is over."""
        since = max(self.best_epoch, self.earlier)
        return bool(self.history) and len(self.history) - since >= plan.patience


Snapshot = dict[str, Any]
"""Everything that changes while training, as plain values and tensors: see `Trainer.snapshot`."""


class NotFinite(Exception):  # noqa: N818 -- the loop decides what becomes of it
    """Raised where the training loss is no number.

    Args:
        loss: what it was.
        places: (B,) where the images of its batch stand in the training split.
    """

    def __init__(self, loss: float, places: NDArray[np.int64]) -> None:
        super().__init__(loss)
        self.places = places


class Trainer:
    """Network, optimizer, schedule and averaged weights that move together."""

    def __init__(self, network: nn.Module, train: Batches, normaliser: Prepare, plan: TrainingPlan) -> None:
        self._network = on_device(network, plan.device)
        self.train, self._normaliser, self._plan = train, normaliser, plan
        self._world, self._precision = here(), Precision(plan.precision, plan.device)
        see_whole_batches(network, self._world, plan.device)
        self._world.check_alike(len(train), train.batches, plan.epochs, plan.lr, plan.accumulate)
        self._world.begin_alike(network)
        weights = plan.class_weights.to(plan.device, next(network.parameters()).dtype)
        self._loss = of_name(plan.loss, weights, plan.label_smoothing, plan.focal_gamma)
        self._generator = torch.Generator().manual_seed(plan.seed)
        self._optimizer = optimiser_of(network, plan)
        steps = plan.epochs * -(-train.batches // plan.accumulate)
        self._schedule = schedule_of(self._optimizer, plan, steps=steps)
        self._average = averaged(self._network, plan.ema) if plan.ema else None

    @property
    def lr(self) -> float:
        """Return the learning rate of the next step, of the parameters that learn fastest."""
        return float(self._optimizer.param_groups[0]["lr"])

    def run_epoch(self, progress: Progress) -> float:
        """Pass once over the training split and return its mean loss.

        Raises:
            NotFinite: the loss is not a number.
        """
        self._network.train()
        total, count, waiting = 0.0, 0, 0
        for batch in self.train.shuffled(self._generator):
            loss = self._add_gradients(batch)
            if not math.isfinite(loss):
                raise NotFinite(loss, batch.places)
            waiting += 1
            if waiting == self._plan.accumulate:
                self._step()
                waiting = 0
            total += loss * len(batch)
            count += len(batch)
            progress.advance(len(batch))
        if waiting:
            self._step()
        return total / count

    def _add_gradients(self, batch: Batch) -> float:
        plan, own = self._plan, self._world.own(len(batch))
        targets = batch.targets.to(plan.device)
        if plan.mixup or plan.cutmix:  # of images anywhere in the batch
            inputs = self._normaliser(plan.augment(batch.inputs, self._generator))
            mixed = mixed_batch(inputs, targets, self._generator, mixup=plan.mixup, cutmix=plan.cutmix)
            logits = self._logits(mixed.inputs[own])
            loss = torch.lerp(self._loss(logits, mixed.others), self._loss(logits, targets), mixed.share)
        else:
            inputs = self._normaliser(plan.augment(batch.inputs, self._generator, own))
            loss = self._loss(self._logits(inputs), targets)
        self._precision.backward(loss / plan.accumulate)
        return float(loss.item())

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of the whole batch, from this process's own images of it."""
        with self._precision.casting(), unwarned_if_empty(inputs):
            logits: Tensor = self._network(inputs)
        return self._world.whole(logits.to(torch.promote_types(logits.dtype, torch.float32)))

    def step_at(self, batch: Batch, lr: float) -> float:
        """Make one step at the learning rate `lr`, whatever the schedule says, and return the loss before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["share"]
        self._network.train()
        loss = self._add_gradients(batch)
        self._move()
        return loss

    def _move(self) -> None:
        self._world.sum_gradients(self._network.parameters())
        self._precision.step(self._optimizer, self._network, self._plan.clip)
        self._optimizer.zero_grad(set_to_none=True)

    def _step(self) -> None:
        self._move()
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._network)

    def validate(self, val: Batches) -> Mapping[str, float]:
        """Return the watched figures of the kept weights on validation."""
        plan = self._plan
        logits = predict_logits(self._kept(), val, self._normaliser, world=self._world)
        probabilities = probabilities_from(logits, plan.answers)
        figures = watched_figures(probabilities, val.targets, plan.positive, target_recall=plan.target_recall)
        return asdict(figures)

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the kept weights."""
        return {key: value.detach().clone() for key, value in self._kept().state_dict().items()}

    def snapshot(self, result: Fit) -> Snapshot:
        """Return everything that changes while training; its tensors go on changing, so write it at once."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "precision": self._precision.state(),
            "average": None if self._average is None else self._average.state_dict(),
            "order": self._generator.get_state(),
            "random": torch.get_rng_state(),
            "random_device": (
                torch.cuda.get_rng_state(self._plan.device) if self._plan.device.type == "cuda" else None
            ),
            "best": {"state": result.state, "epoch": result.best_epoch, "score": result.best_score},
            "history": result.history,
            "earlier": result.earlier,
        }

    def restore(self, snapshot: Snapshot) -> Fit:
        """Take up the state of `snapshot`, and return what training had come to.

        Raises:
            RunError: it is of another network or plan.
        """
        try:
            self._network.load_state_dict(snapshot["network"])
            self._optimizer.load_state_dict(snapshot["optimizer"])
            self._schedule.load_state_dict(snapshot["schedule"])
            self._precision.restore(snapshot["precision"])
            if self._average is not None:
                self._average.load_state_dict(snapshot["average"])
            self._generator.set_state(snapshot["order"])
            torch.set_rng_state(snapshot["random"])
            if snapshot["random_device"] is not None:
                torch.cuda.set_rng_state(snapshot["random_device"], self._plan.device)
            best = snapshot["best"]
            history, earlier = snapshot["history"], snapshot["earlier"]
            return Fit(best["state"], best["epoch"], best["score"], history, earlier=earlier)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise RunError(
                f"the saved state does not fit this training: {str(error).splitlines()[0]}",
                "train anew without --resume",
            ) from error

    def _kept(self) -> nn.Module:
        if self._average is None:
            return self._network
        kept: nn.Module = self._average.module
        return kept
