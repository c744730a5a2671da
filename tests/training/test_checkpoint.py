"""A model on disk comes back as it was."""

from pathlib import Path

import torch

from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation, Run
from medimg_cli.training.checkpoint import load_network, save_weights
from medimg_cli.training.networks.networks import build_network


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
