"""The range test: what it reads from a curve, and that it tries on a copy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from medimg_cli.training.fitting.lr_range import RangeTest, read_curve, try_rates
from medimg_cli.workspace.progress import SilentProgress
from tests.training.test_features import PLAN
from tests.training.test_loop import BATCHES, NORMALISER

RATES = np.geomspace(1e-5, 1.0, 100)


def curve(falls_at: float, rises_at: float, fall: float = 0.5, chance: float = 0.03) -> RangeTest:
    """Return what is read from losses that fall about one rate and rise about another."""
    place = np.log(RATES)
    fallen = fall / (1 + np.exp(-3 * (place - math.log(falls_at))))
    risen = 2 / (1 + np.exp(-4 * (place - math.log(rises_at))))
    noise = np.random.default_rng(0).normal(0, chance, len(RATES))
    return read_curve(RATES, 0.7 - fallen + risen + noise)


@pytest.mark.parametrize("falls_at", [1e-4, 1e-3, 1e-2])
def test_the_rate_is_where_the_loss_falls_fastest(falls_at: float) -> None:
    found = curve(falls_at, 60 * falls_at)
    assert found.lr is not None
    assert falls_at / 2.5 < found.lr < falls_at * 2.5


def test_the_rate_stays_below_that_of_the_lowest_loss() -> None:
    found = curve(1e-3, 4e-3, chance=0.0)
    assert found.lr is not None
    assert found.lr <= RATES[found.smoothed.argmin()] / 2 * 1.05


@pytest.mark.parametrize(("fall", "chance"), [(0.0, 0.0), (0.0, 0.1), (0.03, 0.1), (0.005, 0.0)])
def test_without_a_clear_fall_there_is_no_rate(fall: float, chance: float) -> None:
    found = curve(1e-3, 1e-1, fall, chance)
    assert found.lr is None
    assert "0.004 is kept" in found.sentence(0.004)


def test_a_curve_that_broke_off_at_once_gives_no_rate() -> None:
    assert read_curve(RATES[:3], np.array([0.7, 9.0, 1e30])).lr is None


def tried(network: nn.Module, seed: int = 0, lr: float = 5e-4) -> RangeTest:
    return try_rates(network, BATCHES, NORMALISER, replace(PLAN, seed=seed, lr=lr), SilentProgress())


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))


def test_the_network_stays_as_it_was() -> None:
    network = classifier()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    tried(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_seed_alone_decides_the_curve() -> None:
    first, again, other = tried(classifier()), tried(classifier(), lr=0.3), tried(classifier(), seed=1)
    assert first.losses.tolist() == again.losses.tolist() != other.losses.tolist()
    assert list(first.table()) == ["lr", "loss", "smoothed_loss"]


def test_rates_grow_by_the_same_factor_from_step_to_step() -> None:
    rates = tried(classifier()).rates
    assert rates[0] == pytest.approx(1e-5)
    assert np.ptp(np.diff(np.log(rates))) < 1e-9


def test_it_ends_where_the_loss_explodes() -> None:
    class Explodes(nn.Module):
        """Multiplies its answer, and with it the error, from step to step."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 1))
            self.steps = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.steps += 1
            return nn.functional.linear(
                images.mean(dim=(1, 2, 3))[:, None] * 1.5**self.steps,
                self.weight * torch.tensor([[1.0], [-1.0]]),
            )

    found = tried(Explodes())
    assert 10 < len(found.losses) < 40
    assert np.isfinite(found.losses).all()
