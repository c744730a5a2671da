"""Heat maps are looked at once, and withheld where they do not rest on what was learnt."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medimg_cli.inference.heatmap import evidence
from medimg_cli.preprocessing.corruptions import drawn_evenly
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.training.explanation.sanity_check import MOST_IMAGES, looked_at, rank_correlation, shuffled
from medimg_cli.training.networks.networks import build_network
from tests.inference.test_heatmap import card_of

CPU = torch.device("cpu")
CARD = card_of(classes=("CLEAR", "SPOT")).model_copy(
    update={"recipe": Recipe(size_px=32, channels=1), "positive": "SPOT"}
)


def spots(count: int) -> Pixels:
    """Return (N, 32, 32, 1) noise with a bright spot at another place each."""
    generator = np.random.default_rng(0)
    pixels = generator.normal(90, 12, (count, 32, 32, 1))
    for image in pixels:
        top, left = generator.integers(2, 22, 2)
        image[top : top + 8, left : left + 8] += 110
    stacked: Pixels = pixels.clip(0, 255).astype(np.uint8)
    return stacked


class _Bright(nn.Module):
    """A network that finds what is bright: one channel is the light above a level, 7 are noise of the image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(1, 8, 8, stride=4)
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            self.body.weight[0] = 1 / 64
            self.body.bias = nn.Parameter(torch.zeros(8))
            self.head.weight.mul_(0.05)
            self.head.weight[:, 0] = torch.tensor([-5.0, 5.0])

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.body(inputs)).mean(dim=(2, 3)))
        return logits


class _Weightless(_Bright):
    """One whose maps stay whatever is shuffled: all weights of a layer are equal."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.body.weight.fill_(1 / 64)
            self.head.weight.fill_(0.3)
        self.register_buffer("sign", torch.tensor([-1.0, 1.0]))

    def forward(self, inputs: Tensor) -> Tensor:
        made = torch.relu(self.body(inputs))
        logits: Tensor = self.head((made * made).mean(dim=(2, 3))) * self.sign
        return logits


def test_maps_of_a_network_that_learnt_where_to_look_pass() -> None:
    found = looked_at(CARD, _Bright(), spots(8), CPU)
    assert found.passed, found.withheld
    assert (found.method, found.layer, found.side, found.images) == ("class activation map", "body", 7, 8)
    assert found.similarity["all"] is not None
    assert found.similarity["all"] < 0.5
    assert found.full is not None
    assert found.full > 0
    assert found.blanked is not None
    assert found.blanked.share == 1  # without its spot, every image loses more than without anything else
    assert found.blanked.hottest > found.blanked.elsewhere


def test_maps_that_do_not_rest_on_the_weights_are_withheld() -> None:
    found = looked_at(CARD, _Weightless(), spots(8), CPU)
    assert found.similarity["all"] == pytest.approx(1)
    assert not found.passed
    assert "with all its weights shuffled they stay much the same (rank correlation 1.00" in found.in_words()


def test_a_network_without_places_has_none_and_says_why() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    network.head = nn.Identity()
    found = looked_at(CARD, network, spots(4), CPU)
    assert (found.passed, found.side) == (False, 0)
    assert "no layer of small-cnn keeps places of images of 32 px" in found.in_words()


def test_looking_twice_says_the_same_and_leaves_the_network_alone() -> None:
    network = build_network("small-cnn", classes=2, channels=1, size_px=32).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first, second = (looked_at(CARD, network, spots(4), CPU) for _ in range(2))
    assert first == second
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_shuffling_keeps_every_weight_and_changes_its_place() -> None:
    network = build_network("small-cnn", classes=2, channels=1, size_px=32).eval()
    inputs = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    head, everything = (shuffled(network, what, 0, inputs).state_dict() for what in ("head", "all"))
    own = network.state_dict()
    assert torch.equal(own["stem.0.weight"], head["stem.0.weight"])
    assert not torch.equal(own["head.weight"], head["head.weight"])
    assert not torch.equal(own["stem.0.weight"], everything["stem.0.weight"])
    assert torch.equal(
        own["stem.0.weight"].flatten().sort()[0], everything["stem.0.weight"].flatten().sort()[0]
    )


def test_rank_correlation_is_spearmans() -> None:
    one = np.array([[1, 2], [3, 40]], dtype=np.float32)
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5 · 5) by hand.
    tied = np.array([[5, 6], [6, 7]], dtype=np.float32)
    assert rank_correlation(one, tied) == pytest.approx(4.5 / np.sqrt(22.5))
    assert np.isnan(rank_correlation(one, np.zeros((2, 2), np.float32)))


def test_images_are_chosen_evenly_over_the_classes() -> None:
    ids = [f"{number}.png" for number in range(100)]
    classes = ["RARE" if number < 6 else "COMMON" for number in range(100)]
    chosen = drawn_evenly(ids, classes, MOST_IMAGES)
    assert len(chosen) == 16
    assert sum(classes[place] == "RARE" for place in chosen) == 6


def test_what_is_looked_at_is_what_is_drawn() -> None:
    network, pixels = _Bright(), spots(2)
    with torch.no_grad():
        scaled = torch.from_numpy(pixels[..., 0].astype(np.float32) / 255 - 0.5)[:, None] / 0.2
        made = torch.relu(network.body(scaled))
        maps = torch.einsum("ck,nkhw->nchw", network.head.weight, made).numpy()
    heats = [evidence(CARD, one, "SPOT") for one in maps]
    found = looked_at(CARD, network, pixels, CPU)
    assert found.full == pytest.approx(float(np.quantile([heat.max() for heat in heats], 0.75)), rel=1e-4)
