"""The contract of the shelf: every architecture keeps its word at several sizes and channels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from medimg_cli.api.prerequisites import images_wanted
from medimg_cli.preprocessing.automatic_choices import SMALL_NETWORK, WantedImages, preferred_size_px
from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.networks.backbone import Tapped, head_path
from medimg_cli.training.networks.networks import parameter_count
from medimg_cli.workspace.settings import TrainSettings


@pytest.mark.parametrize("name", ARCHITECTURES.names())
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 5)])
def test_it_maps_images_to_logits_and_every_parameter_learns(name: str, channels: int, classes: int) -> None:
    entry = ARCHITECTURES.get(name)
    network = entry.build(classes, channels, 32)
    logits = network(torch.rand(4, channels, 32, 32))
    assert logits.shape == (4, classes)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert parameter_count(network) > 0
    assert Tapped(network.eval())(torch.rand(4, channels, 32, 32))[1].shape[0] == 4


def test_a_network_whose_head_has_no_name_ends_with_it() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    assert head_path(network) == "3"
    assert Tapped(network.eval())(torch.rand(4, 1, 32, 32))[1].shape == (4, 8)


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_it_says_what_it_wants(name: str) -> None:
    entry = ARCHITECTURES.get(name)
    assert entry.about
    assert entry.preferred_size_px >= 28
    assert entry.epochs > 0 and entry.lr > 0
    wanted = images_wanted(TrainSettings(arch=name)) or WantedImages(preferred_size_px(SMALL_NETWORK))
    assert wanted.size_px == entry.preferred_size_px


def test_images_are_made_at_the_size_that_a_new_one_prefers(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(ARCHITECTURES.get(SMALL_NETWORK), preferred_size_px=64)
    monkeypatch.setitem(ARCHITECTURES._entries, "new-net", entry)
    assert images_wanted(TrainSettings(arch="new-net")) == WantedImages(64)
