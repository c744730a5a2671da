"""The network a training begins with: fresh, or with trained weights, all of it to be trained or its head alone."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medimg_cli.errors import RunError, UsageError
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import HeadKind, Normalisation, StemKind
from medimg_cli.runs.weights_origin import WeightsOrigin, origin_of
from medimg_cli.training.batches import PixelBatches, measure_normalisation
from medimg_cli.training.networks.backbone import Backbone, pools_its_head
from medimg_cli.training.networks.networks import (
    build_network,
    load_pretrained,
    no_weights,
    pretrained_normalisation,
)
from medimg_cli.training.networks.stems import check_stem
from medimg_cli.training.networks.timm_networks import beside, file_in
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import TrainSettings

_WORTH_NAMING = 6


@dataclass(frozen=True)
class Start:
    """What training begins with.

    Args:
        backbone: where `--freeze` was asked for, the part of `network` that stays as it is, for N epochs or for all.
        head: own, or pooled where a frozen backbone needs another head than the network's own.
        stem: own, or small for small images.
        origin: whose weights these are, None from scratch.
    """

    network: nn.Module
    normalisation: Normalisation
    backbone: Backbone | None
    head: HeadKind
    stem: StemKind = "own"
    origin: WeightsOrigin | None = None


def check_freeze(chosen: TrainSettings) -> None:
    """Refuse to freeze what nobody has trained, and to ask of a head alone what takes a whole network.

    Raises:
        RunError: the weights to begin with are not there.
        UsageError: `freeze` without trained weights; a range test or cutmix for a head on features; a small stem
            for a network that has none.
    """
    if chosen.weights not in ("none", "imagenet") and not Path(chosen.weights).exists():
        raise no_weights(chosen.weights)
    check_stem(chosen)
    if chosen.head == "logistic":
        _check_logistic(chosen)
    if chosen.freeze != "none" and chosen.weights == "none":
        raise UsageError(
            f"--freeze {chosen.freeze} needs trained weights", "give --weights imagenet, or --weights FILE"
        )
    if chosen.freeze != "backbone":
        return
    if chosen.lr == "auto":
        raise UsageError(
            "--lr auto tries rates on the whole network, of which --freeze backbone trains the head alone",
            "leave out --lr: the head has a rate of its own; or freeze for some epochs only, such as --freeze 5",
        )
    if chosen.cutmix:
        raise UsageError(
            "train.cutmix cuts pieces out of images, and --freeze backbone trains on their features",
            "set train.mixup, or freeze for some epochs only, such as --freeze 5",
        )


def _check_logistic(chosen: TrainSettings) -> None:
    if chosen.freeze == "none":
        raise UsageError(
            "--head logistic learns on a frozen backbone, and --freeze none asks for none",
            "leave out --freeze; or freeze for some epochs, such as --freeze 1, after which all layers learn",
        )
    if chosen.weights == "none":
        raise UsageError(
            "--head logistic needs trained weights", "give --weights imagenet, or --weights FILE"
        )
    others = {
        "--loss focal": chosen.loss == "focal",
        "train.mixup": chosen.mixup,
        "train.cutmix": chosen.cutmix,
    }
    if chosen.freeze == "backbone" and (named := [name for name, wanted in others.items() if wanted]):
        raise UsageError(
            f"--head logistic minimises the log loss of whole images, and {named[0]} asks for another one",
            f"leave out {named[0]}, or --head logistic",
        )


def frozen_part(chosen: TrainSettings) -> str:
    """Return what stands for the file of a frozen backbone, which no saved state holds; empty where there is none."""
    path = file_in(Path(chosen.weights))
    return sha256_of_file(path) if chosen.freeze != "none" and path.is_file() else ""


def starting_network(
    chosen: TrainSettings, classes: int, recipe: Recipe, train: PixelBatches, progress: Progress
) -> Start:
    """Return the network with the weights it starts from; `progress` reports which parameters start fresh.

    Raises:
        UsageError: unknown architecture, or no ImageNet weights of it.
        RunError: the file of weights cannot be used, or lacks what the frozen part needs.
        MachineError: the ImageNet weights are neither here nor reachable.
    """
    frozen = chosen.freeze != "none"
    head: HeadKind = "pooled" if frozen and pools_its_head(chosen.arch) else "own"
    network = build_network(
        chosen.arch,
        classes=classes,
        channels=recipe.channels,
        size_px=recipe.size_px,
        head=head,
        stem=chosen.stem,
    )
    if chosen.weights == "none":
        return Start(network, measure_normalisation(train), None, head, chosen.stem)
    fresh = load_pretrained(network, chosen.arch, chosen.weights)
    backbone = Backbone(network, last_layer=chosen.head == "logistic") if frozen else None
    lacking = backbone.lacks(fresh) if backbone else []
    if lacking:
        raise RunError(
            f"--weights {chosen.weights} lacks {len(lacking)} weights of the backbone, such as {lacking[0]}",
            "give a complete file, or leave out --freeze"
            + (" or train.stem" if chosen.stem == "small" else ""),
        )
    if fresh:
        named = ", ".join(fresh[:_WORTH_NAMING]) + (" …" if len(fresh) > _WORTH_NAMING else "")
        progress.note(f"{len(fresh)} parameters start fresh: {named}")
    normalisation = pretrained_normalisation(recipe.channels, chosen.arch, chosen.weights)
    origin = _origin(chosen)
    if origin.restriction:
        progress.warn(origin.restriction)
    return Start(network, normalisation, backbone, head, chosen.stem, origin)


def _origin(chosen: TrainSettings) -> WeightsOrigin:
    if chosen.weights == "imagenet":
        return origin_of(chosen.weights, None, chosen.weights_licence)
    place = Path(chosen.weights)
    config = beside(place).get("pretrained_cfg", {})
    licence = config.get("license") if isinstance(config, dict) else None
    return origin_of(chosen.weights, file_in(place), chosen.weights_licence, licence)
