"""The loop: a loss that is not a number stops it, the monitor picks the epoch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from medimg_cli.errors import RunError
from medimg_cli.runs.run import Normalisation
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.device import Normaliser
from medimg_cli.training.fitting.loop import fit
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.trainer import Fit, NotFinite, Trainer
from medimg_cli.workspace.progress import SilentProgress

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
TARGETS = (PIXELS.mean(axis=(1, 2, 3)) > np.median(PIXELS.mean(axis=(1, 2, 3)))).astype(np.int64)
BATCHES = PixelBatches(PIXELS, np.arange(40), targets=TARGETS, batch_size=8)
NORMALISER = Normaliser(Normalisation(mean=(0.5,), std=(0.3,)), torch.device("cpu"))


def trained(
    *,
    lr: float = 0.05,
    monitor: str = "auroc",
    ema: float = 0.9,
    epochs: int = 6,
    batches: PixelBatches = BATCHES,
    **more: Any,
) -> Fit:
    torch.manual_seed(0)
    plan = TrainingPlan(
        epochs=epochs,
        lr=lr,
        weight_decay=0.0,
        label_smoothing=0.0,
        class_weights=torch.ones(2),
        ema=ema,
        augment=preset("none"),
        monitor=monitor,
        patience=99,
        positive=(1,),
        seed=0,
        device=torch.device("cpu"),
        **more,
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    return fit(network, batches, batches, NORMALISER, plan, SilentProgress())


@pytest.mark.parametrize(("monitor", "best"), [("auroc", max), ("loss", min), ("recall", max)])
def test_the_monitor_picks_the_epoch(monitor: str, best) -> None:  # type: ignore[no-untyped-def]
    result = trained(monitor=monitor)
    figures = [row[f"val_{monitor}"] for row in result.history]
    assert figures[result.best_epoch - 1] == best(figures)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_it_learns_a_simple_rule(ema: float) -> None:
    history = trained(ema=ema, epochs=20).history
    assert history[-1]["val_auroc"] > 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [row["lr"] for row in trained(epochs=8).history]
    assert max(rates) == pytest.approx(0.05, rel=0.15)
    assert rates[-1] < 0.01 * max(rates)


def test_a_loss_that_is_not_a_number_stops_with_advice() -> None:
    with pytest.raises(RunError) as caught:
        trained(lr=1e38)
    assert "lower --lr" in caught.value.hint


@pytest.mark.parametrize("more", [{"loss": "focal"}, {"mixup": 0.4}, {"accumulate": 2}, {"clip": 0.0}])
def test_every_kind_of_training_learns_the_rule(more: dict[str, Any]) -> None:
    assert trained(epochs=25, **more).history[-1]["val_auroc"] > 0.95


def test_accumulated_batches_make_one_step_of_their_mean() -> None:
    sixteen = PixelBatches(PIXELS, np.arange(32), targets=TARGETS[:32], batch_size=16)
    eight = PixelBatches(PIXELS, np.arange(32), targets=TARGETS[:32], batch_size=8)
    whole = trained(epochs=2, ema=0.0, batches=sixteen)
    parts = trained(epochs=2, ema=0.0, batches=eight, accumulate=2)
    apart = trained(epochs=2, ema=0.0, batches=eight)
    assert torch.allclose(parts.state["1.weight"], whole.state["1.weight"], atol=1e-5)
    assert not torch.allclose(apart.state["1.weight"], whole.state["1.weight"], atol=1e-3)


def test_a_loss_that_breaks_later_keeps_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    run_epoch = Trainer.run_epoch

    def breaks_in_the_third(self: Trainer, progress: SilentProgress) -> float:
        self.epochs = getattr(self, "epochs", 0) + 1  # type: ignore[attr-defined]
        if self.epochs == 3:  # type: ignore[attr-defined]
            raise NotFinite(float("nan"), np.arange(8))
        return run_epoch(self, progress)

    monkeypatch.setattr(Trainer, "run_epoch", breaks_in_the_third)
    result = trained()
    assert (len(result.history), result.broken) == (2, "the training loss became nan in epoch 3")
    assert result.broken_at.tolist() == list(range(8))
    assert result.state
