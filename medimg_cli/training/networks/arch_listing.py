"""Every network that can be trained, how big it is, and about how long it takes on this machine."""

import time
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from medimg_cli.errors import UsageError
from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.device import on_device, prepare_processor
from medimg_cli.training.networks.networks import (
    architecture,
    build_network,
    parameter_count,
    torchvision_names,
)
from medimg_cli.training.networks.timm_networks import config_of, size_px_of, timm_names, timm_network
from medimg_cli.training.networks.torchvision_door import torchvision

_CLASSES = 2
_STEP_IMAGES = 8
# Convolutions that see one channel each move more memory for a multiplication, so they have a yardstick of their own.
_DEPTHWISE = ("mobilenet", "efficientnet_b", "mnasnet", "shufflenet")


@dataclass(frozen=True)
class ArchitectureFacts:
    """One network.

    Args:
        size_px: side of the images it prefers, to which the other figures apply.
        parameters: trainable numbers, with the head its ImageNet weights have where there are any.
        gmacs: billions of multiply-adds of one forward pass of one image.
        seconds_per_1000: estimated seconds of training on 1,000 images on this machine's processor; None
            where `gmacs` is not known.
        imagenet: there are ImageNet weights for it.
    """

    name: str
    about: str
    size_px: int
    parameters: int
    gmacs: float | None
    seconds_per_1000: float | None
    imagenet: bool


def list_architectures() -> list[ArchitectureFacts]:
    """Return our own networks, then torchvision's classifiers by name.

    Sizes of torchvision's are what it says of its ImageNet weights; seconds follow from two networks that are
    timed here, so they are right to a factor of about two.
    """
    prepare_processor()
    dense, depthwise = _seconds_a_gmac("resnet18"), _seconds_a_gmac("mobilenet_v2")
    own = [_own(name, dense) for name in ARCHITECTURES.names()]
    return own + [
        _of_torchvision(name, depthwise if name.startswith(_DEPTHWISE) else dense)
        for name in torchvision_names()
    ]


def list_timm(pattern: str) -> list[ArchitectureFacts]:
    """Return timm's networks whose names match a shell pattern, by name, laid out without memory.

    Raises:
        UsageError: none does.
        MachineError: timm is not installed.
    """
    found = []
    for name in timm_names(pattern):
        config = config_of(name)
        try:
            with torch.device("meta"):
                parameters = parameter_count(timm_network(name, _CLASSES, 3, size_px_of(config)))
        except (UsageError, NotImplementedError, RuntimeError):  # no single head, or cannot be laid out so
            continue
        found.append(ArchitectureFacts(name, "timm", size_px_of(config), parameters, None, None, False))
    if not found:
        raise UsageError(f"timm has no network that matches '{pattern}'", "give a pattern such as timm:vit_*")
    return found


def _own(name: str, seconds_a_gmac: float) -> ArchitectureFacts:
    named = architecture(name)
    network = build_network(name, classes=_CLASSES, channels=1, size_px=named.preferred_size_px)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network.eval()(torch.zeros(1, 1, named.preferred_size_px, named.preferred_size_px))
    gmacs = counter.get_total_flops() / 2 / 1e9
    return ArchitectureFacts(
        name=name,
        about=named.about,
        size_px=named.preferred_size_px,
        parameters=parameter_count(network),
        gmacs=gmacs,
        seconds_per_1000=1000 * gmacs * seconds_a_gmac,
        imagenet=False,
    )


def _of_torchvision(name: str, seconds_a_gmac: float) -> ArchitectureFacts:
    weights = torchvision.models.get_model_weights(name)
    meta = weights.DEFAULT.meta if len(weights) else {}
    gmacs = meta.get("_ops")
    return ArchitectureFacts(
        name=name,
        about="torchvision",
        size_px=int(weights.DEFAULT.transforms.keywords["crop_size"]) if len(weights) else 224,
        parameters=int(meta.get("num_params", 0)),
        gmacs=gmacs,
        seconds_per_1000=None if gmacs is None else 1000 * gmacs * seconds_a_gmac,
        imagenet=bool(len(weights)),
    )


def _seconds_a_gmac(name: str) -> float:
    """Return the time of one training step of a network for each billion multiply-adds of its forward pass."""
    gmacs = float(torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"])
    network = on_device(build_network(name, classes=_CLASSES, channels=3, size_px=224), torch.device("cpu"))
    images = torch.rand(_STEP_IMAGES, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    targets = torch.zeros(_STEP_IMAGES, dtype=torch.int64)
    seconds = []
    for _ in range(2):  # the first one also warms up
        began = time.perf_counter()
        F.cross_entropy(network.train()(images), targets).backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - began)
    return min(seconds) / _STEP_IMAGES / gmacs
