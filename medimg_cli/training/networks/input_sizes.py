"""Which image sizes a network can take, found by a forward pass on the meta device: shapes without numbers."""

from functools import cache

import torch
from torch import nn

from medimg_cli.errors import UsageError
from medimg_cli.runs.run import HeadKind, StemKind
from medimg_cli.training.networks.networks import architecture, build_network, is_built_for_its_size

_FARTHEST_PX = 512
_PATCH_PX = 33  # a size below that fits, if there is one, is less than the largest patch away
_IMAGES = 2  # batch normalisation refuses one value a channel while it trains


def check_size(
    name: str, size_px: int, *, channels: int = 3, head: HeadKind = "own", stem: StemKind = "own"
) -> None:
    """Refuse an image size that the architecture cannot take, before anything is decoded for it.

    Raises:
        UsageError: it cannot; the hint names the nearest sizes that it takes. Or there is no such architecture.
    """
    if takes(name, size_px, channels, head, stem):
        return
    architecture(name)
    near = [
        size
        for sizes in (
            range(size_px - 1, max(size_px - _PATCH_PX, 0), -1),
            range(size_px + 1, size_px + _FARTHEST_PX + 1),
        )
        if (size := next((each for each in sizes if takes(name, each, channels, head, stem)), None))
        is not None
    ]
    hint = f"--set preprocess.size={' or '.join(map(str, near))}" if near else "choose another --arch"
    raise UsageError(f"{name} cannot take images of {size_px} px", hint)


@cache
def takes(name: str, size_px: int, channels: int = 3, head: HeadKind = "own", stem: StemKind = "own") -> bool:
    """Return whether the architecture can be trained on images of (size_px, size_px)."""
    with torch.no_grad():
        try:
            built_for = size_px if is_built_for_its_size(name) else 0
            images = torch.empty(_IMAGES, channels, size_px, size_px, device="meta")
            return bool(_shapes_of(name, built_for, channels, head, stem)(images).shape == (_IMAGES, 2))
        except (
            RuntimeError,
            ValueError,
            AssertionError,
            ZeroDivisionError,
        ):  # torchvision's own, of every kind
            return False


@cache
def _shapes_of(name: str, size_px: int, channels: int, head: HeadKind, stem: StemKind) -> nn.Module:
    """Return the network in training mode, without its numbers."""

    def built() -> nn.Module:
        return build_network(name, classes=2, channels=channels, size_px=size_px, head=head, stem=stem)

    try:
        with torch.device("meta"):
            return built().train()
    except NotImplementedError:  # RegNets compute their widths with tensors, which need numbers
        return built().to("meta").train()
