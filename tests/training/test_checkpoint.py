"""A model on disk comes back as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch

from medimg_cli.errors import RunError
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation, Run
from medimg_cli.training.checkpoint import load_network, save_weights
from medimg_cli.training.networks.networks import build_network
from medimg_cli.training.networks.torch_network import TorchNetwork
from tests.inference.small_runs import card_of, images_for


def test_a_network_whose_layers_have_versions_comes_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    network = build_network("mnasnet0_5", classes=2, channels=1, size_px=32).eval()
    card = ModelCard(
        arch="mnasnet0_5",
        classes=("a", "b"),
        positive=None,
        recipe=Recipe(size_px=32, channels=1),
        normalisation=Normalisation(mean=(0.5,), std=(0.2,)),
        threshold=None,
        fingerprint=Fingerprint(
            dataset_hash="", train_images=0, train_patients=0, val_images=0, class_counts={}
        ),
        weights_sha256=save_weights(run, network.state_dict()),
    )
    again = load_network(run, card, torch.device("cpu"))
    images = torch.rand(2, 1, 32, 32)
    assert torch.allclose(again(images), network(images), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"arch": "no-such-net"},
        {"arch": ""},
        {"arch": "vit_b_16", "size_px": 100},
        {"head": "pooled"},
        {"stem": "small"},
    ],
    ids=str,
)
def test_a_card_of_a_network_that_there_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = Run(tmp_path)
    written = save_weights(run, {"weight": torch.ones(1)})
    card = card_of(**({"arch": "small-cnn", "weights_sha256": written} | changes))
    with pytest.raises(RunError, match="describes no network") as caught:
        load_network(run, card, torch.device("cpu"))
    assert "\n" not in caught.value.what


def test_a_card_of_a_size_that_its_network_cannot_take_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    network = build_network("squeezenet1_1", classes=3, channels=1, size_px=32)
    card = card_of("squeezenet1_1", size_px=4, weights_sha256=save_weights(run, network.state_dict()))
    loaded = TorchNetwork(run, card, torch.device("cpu"))
    with pytest.raises(RunError, match="the network cannot be run"):
        loaded(images_for(card))
