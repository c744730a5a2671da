"""Runs with fresh weights and their ONNX copies, in a second each and without a training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.runs.run import Fingerprint, Member, ModelCard, Normalisation, Run, Threshold
from medimg_cli.training.checkpoint import save_weights
from medimg_cli.training.networks.networks import build_network
from medimg_cli.training.onnx.export import with_copy
from medimg_cli.workspace.progress import SilentProgress

THRESHOLD = Threshold(value=0.4, rule="given", split="", achieved_recall=None, achieved_specificity=None)


class Notes(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def card_of(arch: str, **changes: Any) -> ModelCard:
    """Return a card of three classes, 32 grey pixels a side; `changes` are of the card or of its recipe."""
    of_recipe = {name: changes.pop(name) for name in Recipe.model_fields if name in changes}
    recipe = Recipe.model_validate({"size_px": 32, "channels": 1} | of_recipe)
    known: dict[str, Any] = {
        "classes": ("A", "B", "C"),
        "positive": None,
        "threshold": None,
        "weights_sha256": "",
        "temperature": 1.7,
    }
    return ModelCard(
        arch=arch,
        recipe=recipe,
        normalisation=Normalisation(mean=(0.4,) * recipe.channels, std=(0.2,) * recipe.channels),
        fingerprint=Fingerprint(
            dataset_hash="d", train_images=9, train_patients=9, val_images=3, class_counts={"A": 9}
        ),
        **(known | changes),
    )


def images_for(card: ModelCard, count: int = 5) -> Pixels:
    """Return noise of several brightnesses."""
    side, channels = card.recipe.size_px, card.recipe.channels
    generator = np.random.default_rng(3)
    noise = generator.random((count, side, side, channels)) * np.linspace(0.2, 1, count)[:, None, None, None]
    wide = np.rint(noise * np.iinfo(card.recipe.dtype).max).astype(np.uint16)
    return wide.astype(np.uint8) if card.recipe.bits == 8 else wide


def run_of(
    folder: Path, card: ModelCard, progress: SilentProgress = SilentProgress(), *, seed: int = 1
) -> Run:
    """Return a run with fresh weights and, where it could be made, their copy."""
    torch.manual_seed(seed)
    network = build_network(
        card.arch,
        classes=len(card.classes),
        channels=card.recipe.channels,
        size_px=card.recipe.size_px,
        head=card.head,
    ).eval()
    run = Run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    card = card.model_copy(update={"weights_sha256": save_weights(run, network.state_dict())})
    run.write_card(with_copy(run, card, network, images_for(card), progress))
    return run


def ensemble_of(folder: Path, **changes: Any) -> Run:
    """Return a run of two small networks of different temperatures."""
    members = []
    for seed, temperature in ((1, 0.8), (2, 2.5)):
        own = run_of(
            folder / "members" / f"seed-{seed}",
            card_of("small-cnn", **(changes | {"temperature": temperature})),
            seed=seed,
        )
        members.append(Member(folder=f"members/seed-{seed}", weights_sha256=own.read_card().weights_sha256))
    run = Run(folder)
    run.write_card(
        card_of("small-cnn", **(changes | {"temperature": 1.0, "members": tuple(members)})).model_copy(
            update={"weights_sha256": "of both"}
        )
    )
    return run
