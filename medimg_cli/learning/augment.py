"""What training images are varied by: one preset for each kind of picture."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from medimg_cli.errors import UsageError
from medimg_cli.learning.augment_pixels import change_pixels
from medimg_cli.learning.augment_ranges import AugmentRanges
from medimg_cli.registry import did_you_mean

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Preset:
    """A named set of ranges.

    Args:
        about: which pictures it is for, and what it leaves alone.
    """

    about: str
    ranges: AugmentRanges


PRESETS: dict[str, Preset] = {
    "none": Preset("images as they are", AugmentRanges()),
    "light": Preset(
        "any picture: no mirroring, small turns, shifts and changes of exposure",
        AugmentRanges(
            rotation_deg=10.0,
            scale=0.15,
            aspect=0.05,
            shift=0.08,
            brightness=0.15,
            contrast=0.25,
            gamma=0.4,
            sharpness=0.7,
            noise=0.02,
            erase_probability=0.25,
        ),
    ),
    "cxr": Preset(
        "radiographs: sides are never exchanged, for a mirrored chest is another finding",
        AugmentRanges(
            rotation_deg=7.0,
            scale=0.12,
            aspect=0.05,
            shift=0.07,
            brightness=0.2,
            contrast=0.4,
            gamma=0.5,
            sharpness=0.7,
            noise=0.03,
            erase_probability=0.25,
        ),
    ),
    "derm": Preset(
        "skin: no side is up, and cameras differ in colour",
        AugmentRanges(
            mirror=True,
            upside_down=True,
            quarter_turns=True,
            rotation_deg=45.0,
            scale=0.2,
            aspect=0.1,
            shift=0.08,
            brightness=0.15,
            contrast=0.2,
            gamma=0.2,
            colour=0.08,
            saturation=0.25,
            sharpness=0.5,
            noise=0.02,
            erase_probability=0.1,
        ),
    ),
    "fundus": Preset(
        "retina: left and right eye mirror each other, the top stays up",
        AugmentRanges(
            mirror=True,
            rotation_deg=15.0,
            scale=0.12,
            shift=0.04,
            brightness=0.12,
            contrast=0.25,
            gamma=0.25,
            colour=0.06,
            saturation=0.2,
            sharpness=0.6,
            noise=0.02,
        ),
    ),
    "histo": Preset(
        "tissue under the microscope: no side is up, and stains differ",
        AugmentRanges(
            mirror=True,
            upside_down=True,
            quarter_turns=True,
            scale=0.1,
            brightness=0.1,
            contrast=0.2,
            gamma=0.15,
            colour=0.12,
            saturation=0.3,
            sharpness=0.7,
            noise=0.015,
        ),
    ),
    "us": Preset(
        "ultrasound: probes are held either way, gain and speckle differ",
        AugmentRanges(
            mirror=True,
            rotation_deg=10.0,
            scale=0.15,
            aspect=0.1,
            shift=0.08,
            brightness=0.15,
            contrast=0.3,
            gamma=0.4,
            sharpness=0.7,
            speckle=0.12,
            noise=0.02,
            erase_probability=0.15,
        ),
    ),
}


def preset(name: str) -> Augment:
    """Return the augmentation called `name`: (B, C, H, W) of 0..255 → float values 0..255 of the same shape.

    "none" hands the images on as they are.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown --augment '{name}'", did_you_mean(name, PRESETS))
    ranges = PRESETS[name].ranges
    return _as_they_are if ranges == AugmentRanges() else partial(_change, ranges=ranges)


def _change(images: Tensor, generator: torch.Generator, *, ranges: AugmentRanges) -> Tensor:
    return change_pixels(images, generator, ranges)


def _as_they_are(images: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001 -- same shape as the others
    return images
