"""The network a training begins with: fresh, or with trained weights, all of it to be trained or its head alone."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medimg_cli.core.files import sha256_of_file
from medimg_cli.core.progress import Progress
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.run import HeadKind, Normalisation
from medimg_cli.core.settings import TrainSettings
from medimg_cli.errors import RunError, UsageError
from medimg_cli.learning.backbone import Backbone, pools_its_head
from medimg_cli.learning.dataset import PixelBatches, measure_normalisation
from medimg_cli.learning.networks import build_network, load_pretrained, pretrained_normalisation

_WORTH_NAMING = 6


@dataclass(frozen=True)
class Start:
    """What training begins with.

    Args:
        backbone: where `--freeze backbone` was asked for, the part of `network` that stays as it is.
        head: own, or pooled where a frozen backbone needs another head than the network's own.
    """

    network: nn.Module
    normalisation: Normalisation
    backbone: Backbone | None
    head: HeadKind


def check_freeze(chosen: TrainSettings) -> None:
    """Refuse to freeze what nobody has trained.

    Raises:
        UsageError: `freeze` without trained weights.
    """
    if chosen.freeze == "backbone" and chosen.weights == "none":
        raise UsageError(
            "--freeze backbone needs trained weights", "give --weights imagenet, or --weights FILE"
        )


def frozen_part(chosen: TrainSettings) -> str:
    """Return what stands for the file of a frozen backbone, which no saved state holds; empty where there is none."""
    path = Path(chosen.weights)
    return sha256_of_file(path) if chosen.freeze == "backbone" and path.is_file() else ""


def starting_network(
    chosen: TrainSettings, classes: int, recipe: Recipe, train: PixelBatches, progress: Progress
) -> Start:
    """Return the network with the weights it starts from; `progress` is told which parameters start fresh.

    Raises:
        UsageError: unknown architecture, or no ImageNet weights of it.
        RunError: the file of weights cannot be used, or lacks what the frozen part needs.
        MachineError: the ImageNet weights are neither here nor reachable.
    """
    frozen = chosen.freeze == "backbone"
    head: HeadKind = "pooled" if frozen and pools_its_head(chosen.arch) else "own"
    network = build_network(
        chosen.arch, classes=classes, channels=recipe.channels, size_px=recipe.size_px, head=head
    )
    if chosen.weights == "none":
        return Start(network, measure_normalisation(train), None, head)
    fresh = load_pretrained(network, chosen.arch, chosen.weights)
    backbone = Backbone(network) if frozen else None
    lacking = backbone.lacks(fresh) if backbone else []
    if lacking:
        raise RunError(
            f"--weights {chosen.weights} lacks {len(lacking)} weights of the backbone, such as {lacking[0]}",
            "give a complete file, or leave out --freeze",
        )
    if fresh:
        named = ", ".join(fresh[:_WORTH_NAMING]) + (" …" if len(fresh) > _WORTH_NAMING else "")
        progress.note(f"{len(fresh)} parameters start fresh: {named}")
    return Start(network, pretrained_normalisation(recipe.channels), backbone, head)
