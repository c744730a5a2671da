"""The training loop: one-cycle AdamW, averaged weights, the best epoch kept."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.errors import RunError
from medimg_cli.evaluation.run_table import LOWER_IS_BETTER
from medimg_cli.training.batches import Batches, PixelBatches
from medimg_cli.training.device import Prepare
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.scoring import SHOWN
from medimg_cli.training.fitting.time_limit import TimeIsUp
from medimg_cli.training.fitting.trainer import Fit, NotFinite, Snapshot, Trainer
from medimg_cli.workspace.progress import Progress

_AGAINST_DIVERGENCE = "lower --lr, or look at the images with `medimg label-audit`"
_FAR_ABOVE = 3.0


class BrokenLoss(RunError):  # noqa: N818 -- named as NotFinite, which it becomes
    """The loss was no number before the first epoch was over.

    Args:
        places: (B,) where the images of its batch stand in the training split.
    """

    def __init__(self, what: str, places: NDArray[np.int64]) -> None:
        super().__init__(what, _AGAINST_DIVERGENCE)
        self.places = places


def fit(
    network: nn.Module,
    train: Batches,
    val: Batches,
    normaliser: Prepare,
    plan: TrainingPlan,
    progress: Progress,
    on_epoch: Callable[[Fit, Snapshot], None] = lambda _fit, _snapshot: None,
    resume: Snapshot | None = None,
    before: Fit | None = None,
) -> Fit:
    """Train `network` and return its best epoch by the plan's monitor on validation.

    Args:
        on_epoch: called after every epoch with what there is, and the state from which training goes on. On the
            processor it goes on to the same bits as if it had never stopped.
        resume: such a state, of the same network, data and plan.
        before: what an earlier part of the same training left in `network`; its best epoch may stay the best.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was over.
        BrokenLoss: the loss was not a number before the first epoch was over.
        TimeIsUp: `progress` ended it before the first epoch was over.
    """
    torch.manual_seed(plan.seed)
    trainer = Trainer(network, train, normaliser, plan)
    result = (before or Fit()) if resume is None else trainer.restore(resume)
    try:
        while not result.is_over(plan):
            _one_epoch(trainer, val, plan, progress, result)
            on_epoch(result, trainer.snapshot(result))
        if result.ran_out(plan):
            progress.note(f"no better {plan.monitor} for {plan.patience} epochs: stopped")
    except KeyboardInterrupt:
        if not result.state:
            raise
        result.interrupted = True
    except NotFinite as loss:
        result.broken = f"the training loss became {loss} in epoch {len(result.history) + 1}"
        if not result.state:
            raise BrokenLoss(result.broken, loss.places) from loss
        result.broken_at = loss.places
        progress.warn(f"{result.broken}: epoch {result.best_epoch} is kept; {_AGAINST_DIVERGENCE}")
    except TimeIsUp:
        if not result.state:
            raise
        result.out_of_time = True
        progress.warn(
            f"the time limit ended in epoch {len(result.history) + 1}: epoch {result.best_epoch} is kept; "
            "`medimg train --resume` goes on to the end"
        )
    finally:
        progress.finish()
    return result


def divergence(history: Sequence[Mapping[str, float]], classes: int) -> str:
    """Return a sentence where training never came near what guessing gives, "" where it did.

    Whoever calls all classes equally likely has a cross-entropy of ln C (ln 2 for each of several labels).
    """
    guess = math.log(max(2, classes))
    least = min((row["train_loss"] for row in history), default=0.0)
    if least <= _FAR_ABOVE * guess:
        return ""
    return f"the training loss never fell below {least:.3g}, where guessing has {guess:.2g}: {_AGAINST_DIVERGENCE}"


def _one_epoch(trainer: Trainer, val: Batches, plan: TrainingPlan, progress: Progress, result: Fit) -> None:
    """Train one epoch, validate it, and add it to `result`."""
    epoch = len(result.history) + 1
    began = time.perf_counter()
    progress.start(f"epoch {epoch}/{result.earlier + plan.epochs}", len(trainer.train))
    train_loss = trainer.run_epoch(progress)
    progress.finish()
    figures = trainer.validate(val)
    row = {"epoch": float(epoch), "train_loss": train_loss}
    row |= {f"val_{name}": value for name, value in figures.items()}
    row |= {"lr": trainer.lr, "seconds": time.perf_counter() - began}
    result.history.append(row)
    shown = {f"val_{name}" for name in (*SHOWN, plan.monitor)}
    progress.epoch(
        {name: value for name, value in row.items() if not name.startswith("val_") or name in shown}
    )
    score = score_of(figures, plan.monitor)
    if score > result.best_score or not result.state:
        result.best_score, result.best_epoch, result.state = score, epoch, trainer.state()


def score_of(figures: Mapping[str, float], monitor: str) -> float:
    """Return the monitored figure, higher is better; the loss breaks ties."""
    value = figures[monitor]
    if math.isnan(value):
        value = -math.inf
    if monitor in LOWER_IS_BETTER:
        return -value
    return value - 1e-6 * figures["loss"]


_HEAD, _ALL = 1.0, 2.0


def fine_tune(
    network: nn.Module,
    train: PixelBatches,
    val: PixelBatches,
    prepare: Prepare,
    plan: TrainingPlan,
    progress: Progress,
    learn_head: Callable[[Callable[[Fit, Snapshot], None], Snapshot | None], Fit],
    on_epoch: Callable[[Fit, Snapshot], None],
    resume: Snapshot | None,
) -> Fit:
    """Train the head of `network` by `learn_head`, then all of it by `plan`, and return the best epoch of both.

    In the first phase batch statistics stand still, as the features are those of the network in use. In the second
    they adapt to the images. The history numbers the epochs of both in one row; its column `phase` tells them apart.

    Args:
        learn_head: (on_epoch, resume) → what training the head alone came to.
        on_epoch, resume: as of `loop.fit`; a state of the first phase says so.

    Raises:
        KeyboardInterrupt, RunError: as of `loop.fit`.
    """
    before = None
    if resume is None or resume.get("of_head"):
        before = _of_head(
            learn_head(lambda found, state: on_epoch(_of_head(found), state | {"of_head": True}), resume)
        )
        before.state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        if before.interrupted or before.broken or before.out_of_time:
            return before
        resume = None
        slower = "" if plan.layer_decay == 1 else f", first ones slowest (x {plan.layer_decay:g} a third)"
        progress.note(
            f"the head is trained (epoch {before.best_epoch} of {len(before.history)}); now all layers learn{slower}"
        )
    return fit(
        network,
        train,
        val,
        prepare,
        plan,
        progress,
        on_epoch=lambda found, state: on_epoch(_in_phase(found, _ALL), state),
        resume=resume,
        before=before,
    )


def _of_head(found: Fit) -> Fit:
    """Return what the head's training has come to as the beginning of a longer one, which is not over with it."""
    return replace(_in_phase(found, _HEAD), earlier=len(found.history))


def _in_phase(found: Fit, phase: float) -> Fit:
    """Write the phase into the last epoch's row, which the saved state shares."""
    if found.history:
        found.history[-1]["phase"] = phase
    return found
