"""A learning rate found by trying: it grows from batch to batch, and the loss tells where learning is fastest.

Smith 2017, arXiv:1506.01186 (section 3.3), with exponentially growing rates.
"""

import copy
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import nn

from medimg_cli.training.batches import Batches
from medimg_cli.training.device import Prepare
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.trainer import Trainer
from medimg_cli.workspace.progress import Progress

_LOWEST, _HIGHEST = 1e-5, 1.0
_LEAST_STEPS, _MOST_STEPS = 60, 100
# Of the first losses: beyond it, nothing is to be learnt from higher rates.
_TOO_HIGH = 3.0
# Width of the Gaussian, as a share of the steps: a fifth of a decade of rates.
_SMOOTHING = 0.04
# A fall has to be so many times the chance of batches, and this share of the first losses.
_CLEAR = 3.0
_LEAST_FALL = 0.02


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Args:
        rates, losses: (S,) of each step, until the loss rose too far.
        smoothed: (S,) the losses without the chance of single batches.
        lr: the rate found, None where the loss did not clearly fall.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    lr: float | None

    def table(self) -> pd.DataFrame:
        """Return the curve, one row a step."""
        return pd.DataFrame({"lr": self.rates, "loss": self.losses, "smoothed_loss": self.smoothed})

    def sentence(self, usual: float) -> str:
        """Return what was chosen and why; `usual` is the rate that is kept where none was found."""
        if self.lr is None:
            return f"range test: the loss did not clearly fall at any learning rate, so {usual:g} is kept"
        lowest = self.rates[self.smoothed.argmin()]
        return (
            f"learning rate {self.lr:g}: in a range test of {len(self.rates)} batches the loss fell fastest about "
            f"there, and was lowest at {lowest:.2g}"
        )


def try_rates(
    network: nn.Module, train: Batches, prepare: Prepare, plan: TrainingPlan, progress: Progress
) -> RangeTest:
    """Try learning rates from 1e-5 to 1 on a copy of `network`, and return what came of it.

    The same seed gives the same curve. Groups of layers that learn slower do so here too.
    """
    steps = min(_MOST_STEPS, max(_LEAST_STEPS, train.batches))
    torch.manual_seed(plan.seed)
    trainer = Trainer(copy.deepcopy(network), train, prepare, replace(plan, ema=0.0, accumulate=1))
    rates = np.geomspace(_LOWEST, _HIGHEST, steps)
    losses: list[float] = []
    progress.start("learning rate range test", steps)
    try:
        generator = torch.Generator().manual_seed(plan.seed)
        endless = (batch for _ in itertools.count() for batch in train.shuffled(generator))
        for rate, batch in zip(rates, endless, strict=False):
            loss = trainer.step_at(batch, float(rate))
            if not math.isfinite(loss):
                break
            losses.append(loss)
            progress.advance(1)
            if len(losses) > 10 and np.mean(losses[-3:]) > _TOO_HIGH * np.mean(losses[:5]):
                break
    finally:
        progress.finish()
    return read_curve(rates[: len(losses)], np.array(losses))


def read_curve(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> RangeTest:
    """Return what `losses` (S,) at growing `rates` (S,) say.

    The rate is the one at which the loss fell fastest before it was lowest, held between a tenth and half of the
    rate of the lowest loss: where the loss is lowest, learning has already begun to fail. None is found where the
    loss did not fall by more than the chance of batches makes it.
    """
    if len(losses) < _LEAST_STEPS // 4:
        return RangeTest(rates, losses, losses, None)
    width = _SMOOTHING * len(losses)
    smoothed = gaussian_filter1d(losses, width, mode="nearest")
    lowest = int(smoothed.argmin())
    # A Gaussian of this width averages about 3.5 widths of independent losses.
    chance = float((losses - smoothed)[: lowest + 1].std()) / math.sqrt(3.5 * width)
    beginning = float(smoothed[: max(3, len(losses) // 8)].mean())
    fall = beginning - float(smoothed[lowest])
    if lowest == 0 or fall < max(_CLEAR * chance, _LEAST_FALL * beginning):
        return RangeTest(rates, losses, smoothed, None)
    slopes = np.gradient(smoothed[: lowest + 1], np.log(rates[: lowest + 1]))
    steepest = float(rates[slopes.argmin()])
    least, most = float(rates[lowest]) / 10, float(rates[lowest]) / 2
    return RangeTest(rates, losses, smoothed, float(f"{min(max(steepest, least), most):.2g}"))
