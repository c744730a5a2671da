"""`--time-limit`: the number of epochs that fit into it, and a stop where they did not after all."""

import copy
import itertools
import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from medimg_cli.errors import RunError, UsageError
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.device import Prepare, on_device
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.trainer import Trainer
from medimg_cli.workspace.progress import PassedOn, Progress
from medimg_cli.workspace.settings import TrainSettings

_WARM_UP_STEPS = 2
_LEAST_TIMED_STEPS = 3
_MOST_TIMED_STEPS = 30
_TIMED_SHARE = 0.03
_SAFETY = 0.9


class TimeIsUp(RunError):  # noqa: N818 -- an end, which the loop takes for one
    """The limit ended; the loop keeps the best epoch, and where there is none this is what the user reads."""

    def __init__(self) -> None:
        super().__init__(
            "the time limit ended before the first epoch was over",
            "raise --time-limit, lower --size, or choose a smaller --arch",
        )


class Deadline(PassedOn):
    """Passes everything on, and ends the training at the first step after a moment.

    Args:
        ends: of `time.perf_counter`.
    """

    def __init__(self, listener: Progress, ends: float) -> None:
        super().__init__(listener)
        self.ends = ends

    def advance(self, steps: int = 1) -> None:
        """Pass the steps on.

        Raises:
            TimeIsUp: the moment has passed.
        """
        super().advance(steps)
        if time.perf_counter() > self.ends:
            raise TimeIsUp


def check_time_limit(chosen: TrainSettings, *, single_process: bool) -> None:
    """Refuse a limit where more than one training has to keep it.

    Raises:
        UsageError: there are several networks, or several processes.
    """
    if chosen.time_limit is None:
        return
    if chosen.seeds > 1 or chosen.folds is not None or chosen.also:
        raise UsageError(
            "--time-limit fits one training, and --folds, --seeds or train.also ask for several",
            "give them --epochs: one training with --time-limit says how many fit",
        )
    if not single_process:
        raise UsageError(
            "--time-limit fits the epochs to the pace of one process, and here are several", "give --epochs"
        )


@dataclass(frozen=True)
class Pace:
    """Seconds that were measured.

    Args:
        step: of one training step.
        look: of one batch in evaluation mode.
    """

    step: float
    look: float

    def epoch(self, train_batches: int, val_batches: int) -> float:
        """Return the seconds of one epoch with its validation."""
        return train_batches * self.step + val_batches * self.look


def within_limit(
    network: nn.Module,
    batches: tuple[PixelBatches, PixelBatches],
    prepare: Prepare,
    plan: TrainingPlan,
    chosen: TrainSettings,
    progress: Progress,
    *,
    ends: float,
    views: int,
) -> TrainingPlan:
    """Return the plan with as many of its epochs as fit before a moment.

    Args:
        network: as training begins with it; it stays as it is.
        batches: of train and val.
        plan: its epochs are the most.
        ends: of `time.perf_counter`.
        views: how often a frozen backbone looks at each training image before the head learns.
    """
    train, val = batches
    pace = measure_pace(network, train, prepare, plan, limit=ends - time.perf_counter())
    left = ends - time.perf_counter()
    if chosen.freeze != "none":
        features = (views * train.batches + val.batches) * pace.look
        left -= features
        if left < 0:
            progress.warn(
                f"the backbone alone takes about {features:,.3g} s, more than the time limit leaves"
            )
    if chosen.freeze == "backbone":  # epochs of a head take next to nothing
        return plan
    return fitted(plan, pace.epoch(train.batches, val.batches), left, progress)


def measure_pace(
    network: nn.Module, train: PixelBatches, prepare: Prepare, plan: TrainingPlan, *, limit: float
) -> Pace:
    """Return the pace of training steps on a copy of `network`, which stays as it is; at most 3 % of `limit` goes by.

    At least three steps are timed after two to warm up.
    """
    network = on_device(copy.deepcopy(network), plan.device)
    trainer = Trainer(network, train, prepare, replace(plan, ema=0.0))
    batches = itertools.cycle(itertools.islice(train.in_order(), _LEAST_TIMED_STEPS))
    for batch in itertools.islice(batches, _WARM_UP_STEPS):
        trainer.step_at(batch, plan.lr)
    began, steps = time.perf_counter(), 0
    while steps < _MOST_TIMED_STEPS:
        trainer.step_at(next(batches), plan.lr)
        steps += 1
        if steps >= _LEAST_TIMED_STEPS and time.perf_counter() - began > _TIMED_SHARE * limit:
            break
    step = (time.perf_counter() - began) / steps
    return Pace(step, _look_seconds(network, train, prepare))


def _look_seconds(network: nn.Module, train: PixelBatches, prepare: Prepare) -> float:
    inputs = prepare(next(iter(train.in_order())).inputs)
    seconds = []
    network.eval()
    with torch.inference_mode():
        for _ in range(2):
            began = time.perf_counter()
            network(inputs).sum().item()
            seconds.append(time.perf_counter() - began)
    return min(seconds)


def fitted(plan: TrainingPlan, epoch_seconds: float, left_seconds: float, progress: Progress) -> TrainingPlan:
    """Return the plan with as many of its epochs as fit, and one at least; the decision is reported.

    Args:
        plan: its epochs are the most.
        left_seconds: of the limit; a tenth of it is kept for what the measured steps did not show.
    """
    fits = int(_SAFETY * left_seconds / epoch_seconds)
    if fits >= plan.epochs:
        return plan
    each = f"an epoch takes about {epoch_seconds:,.3g} s and {max(0.0, left_seconds):,.3g} s are left"
    if fits < 1:
        progress.warn(f"not even one epoch fits into the time limit: {each}; one is tried")
    else:
        progress.note(f"{fits} of {plan.epochs} epochs fit into the time limit: {each}")
    epochs = max(1, fits)
    return replace(plan, epochs=epochs, patience=min(plan.patience, epochs))
