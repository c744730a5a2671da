"""The contract of the shelf: every architecture keeps its word at several sizes and channels."""

import pytest
import torch

from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.networks.networks import parameter_count


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


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_it_says_what_it_wants(name: str) -> None:
    entry = ARCHITECTURES.get(name)
    assert entry.about
    assert entry.preferred_size_px >= 28
    assert entry.epochs > 0 and entry.lr > 0
