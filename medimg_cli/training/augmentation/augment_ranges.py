"""How far each random change may go, and what was drawn for one image."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AugmentRanges:
    """Ranges of the random changes; each is drawn per image, uniformly and independently. 0 = not at all.

    Args:
        mirror, upside_down: each image is flipped along that axis, or not, with equal chances.
        quarter_turns: turned by 0, 90, 180 or 270 degrees with equal chances; square images only.
        rotation_deg: largest turn to either side.
        scale: zoom, drawn log-uniformly from 1/(1+scale) to 1+scale.
        aspect: ratio of the zooms along the two axes, log-uniform likewise.
        shift: largest shift along each axis, as a share of the side.
        brightness: largest offset, as a share of the full range.
        contrast: gain about the image's own mean, log-uniform from 1/(1+contrast) to 1+contrast.
        gamma: exponent, log-uniform likewise.
        colour: gain of each channel by itself, log-uniform likewise; of colour images only.
        saturation: gain of the distance from grey, log-uniform likewise; of colour images only.
        sharpness: blend with a blurred copy: from -sharpness (sharpened) to 1 (fully blurred).
        speckle: largest deviation of multiplied Gaussian noise.
        noise: largest deviation of added Gaussian noise, as a share of the full range.
        erase_probability: chance that a rectangle is filled with the image's mean.
        erase_share: largest area of that rectangle, as a share of the image.
    """

    mirror: bool = False
    upside_down: bool = False
    quarter_turns: bool = False
    rotation_deg: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    colour: float = 0.0
    saturation: float = 0.0
    sharpness: float = 0.0
    speckle: float = 0.0
    noise: float = 0.0
    erase_probability: float = 0.0
    erase_share: float = 0.1


@dataclass(frozen=True)
class Draw:
    """What chance decided for one image; angles in radians, shifts as shares of the side.

    Args:
        colours: gains of three channels.
        noise_start: where in the table of noise its own begins, in 0..1.
        erase: (share, aspect, top, left) in 0..1, None when nothing is erased.
    """

    angle: float
    zoom_across: float
    zoom_down: float
    mirrored: bool
    flipped: bool
    shift_across: float
    shift_down: float
    gamma: float
    gain: float
    offset: float
    colours: tuple[float, float, float]
    saturation: float
    blur: float
    speckle: float
    noise: float
    noise_start: float
    erase: tuple[float, float, float, float] | None


STILL = Draw(
    angle=0.0,
    zoom_across=1.0,
    zoom_down=1.0,
    mirrored=False,
    flipped=False,
    shift_across=0.0,
    shift_down=0.0,
    gamma=1.0,
    gain=1.0,
    offset=0.0,
    colours=(1.0, 1.0, 1.0),
    saturation=1.0,
    blur=0.0,
    speckle=0.0,
    noise=0.0,
    noise_start=0.0,
    erase=None,
)
"""What leaves an image as it is."""

_NUMBERS = 25


def draw_changes(count: int, ranges: AugmentRanges, generator: torch.Generator) -> list[Draw]:
    """Return what chance decides for each of `count` images; always the same amount of it is used up."""
    drawn: Tensor = torch.rand(count, _NUMBERS, generator=generator, dtype=torch.float64)
    return [_draw(numbers, ranges) for numbers in drawn.tolist()]


def _draw(numbers: list[float], ranges: AugmentRanges) -> Draw:
    chance = iter(numbers)

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(chance)

    def factor(spread: float) -> float:
        limit = math.log1p(spread)
        return math.exp(between(-limit, limit))

    angle = math.radians(between(-ranges.rotation_deg, ranges.rotation_deg))
    turns = int(4 * next(chance))
    zoom, stretch = factor(ranges.scale), math.sqrt(factor(ranges.aspect))
    return Draw(
        angle=angle + (turns * math.pi / 2 if ranges.quarter_turns else 0.0),
        zoom_across=zoom * stretch,
        zoom_down=zoom / stretch,
        mirrored=ranges.mirror & (next(chance) < 0.5),
        flipped=ranges.upside_down & (next(chance) < 0.5),
        shift_across=between(-ranges.shift, ranges.shift),
        shift_down=between(-ranges.shift, ranges.shift),
        gamma=factor(ranges.gamma),
        gain=factor(ranges.contrast),
        offset=between(-ranges.brightness, ranges.brightness),
        colours=(factor(ranges.colour), factor(ranges.colour), factor(ranges.colour)),
        saturation=factor(ranges.saturation),
        blur=between(-ranges.sharpness, 1.0) if ranges.sharpness else 0.0 * next(chance),
        speckle=between(0.0, ranges.speckle),
        noise=between(0.0, ranges.noise),
        noise_start=next(chance),
        erase=_erase(chance, ranges),
    )


def _erase(chance: Iterator[float], ranges: AugmentRanges) -> tuple[float, float, float, float] | None:
    erased = next(chance) < ranges.erase_probability
    share, aspect, top, left = next(chance), next(chance), next(chance), next(chance)
    return (ranges.erase_share * (0.2 + 0.8 * share), aspect, top, left) if erased else None
