"""Views of one image that mean the same: what a network is asked about with `--tta`, its answers averaged."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from medimg_cli.errors import RunError
from medimg_cli.training.augmentation.augment import PRESETS
from medimg_cli.training.augmentation.augment_pixels import moved_alike

_TURN_DEG = 5.0
_ZOOM = 1.06


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Args:
        mirrored: left and right exchanged, before it is turned.
        quarters: quarter turns to the left.
        turn_deg: a small turn; what lies outside repeats the border.
        zoom: above 1 the border is left out.
    """

    mirrored: bool = False
    quarters: int = 0
    turn_deg: float = 0.0
    zoom: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) pixels seen this way, of the same kind and, where square, the same shape."""
        if self.mirrored:
            images = images.flip(3)
        if self.quarters:
            images = torch.rot90(images, self.quarters, (2, 3))
        if self.turn_deg or self.zoom != 1.0:
            images = moved_alike(images, angle=math.radians(self.turn_deg), zoom=self.zoom)
        return images


PLAIN = (View(),)


def views_of(augment: str) -> tuple[View, ...]:
    """Return the views that networks trained with the preset `augment` have learnt to answer alike; the plain one first.

    All eight where the preset turns and mirrors, the mirrored ones where it mirrors, and otherwise small turns and a
    zoom, no larger than the preset's own. Nothing is drawn by chance.

    Raises:
        RunError: the preset moves nothing, or is not known.
    """
    if augment not in PRESETS:
        raise RunError(
            f"the run was trained with --augment {augment}, which is not known here", "leave out --tta"
        )
    ranges = PRESETS[augment].ranges
    if ranges.quarter_turns:
        sides = (False, True) if ranges.mirror or ranges.upside_down else (False,)
        return tuple(View(mirrored=side, quarters=number) for side in sides for number in range(4))
    if ranges.mirror or ranges.upside_down:
        found = [View()]
        found += [View(mirrored=True)] if ranges.mirror else []
        # Upside down is mirrored and turned by half a circle; both at once is that turn alone.
        found += [View(mirrored=True, quarters=2)] if ranges.upside_down else []
        found += [View(quarters=2)] if ranges.mirror and ranges.upside_down else []
        return tuple(found)
    turn, zoom = min(_TURN_DEG, ranges.rotation_deg), min(_ZOOM, 1 + ranges.scale)
    views = [View()]
    views += [View(turn_deg=turn), View(turn_deg=-turn)] if turn else []
    views += [View(zoom=zoom)] if zoom > 1 else []
    if len(views) == 1:
        raise RunError(
            f"the run was trained with --augment {augment}: it knows no view of an image but the plain one",
            "leave out --tta, or train with another --augment",
        )
    return tuple(views)
