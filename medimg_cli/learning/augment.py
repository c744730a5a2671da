"""Batched augmentation of the 'light' preset: safe for any modality (no flips)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges of the random changes; each is drawn per image, uniformly and independently."""

    rotation_deg: float = 10.0
    scale: float = 0.15
    """Zoom, drawn log-uniformly from 1/(1+scale) to 1+scale."""
    aspect: float = 0.05
    """Ratio of the zooms along the two axes, log-uniform likewise."""
    shift: float = 0.08
    """Largest shift along each axis, as a share of the side."""
    brightness: float = 0.15
    """Largest offset, as a share of the full range 255."""
    contrast: float = 0.25
    """Gain about the image's own mean, log-uniform from 1/(1+contrast) to 1+contrast."""
    gamma: float = 0.4
    """Exponent, log-uniform from 1/(1+gamma) to 1+gamma."""
    sharpness: float = 0.7
    """Blend with a blurred copy: from -sharpness (sharpened) to 1 (fully blurred)."""
    noise: float = 0.02
    """Largest deviation of added Gaussian noise, as a share of 255."""
    erase_probability: float = 0.25
    erase_share: float = 0.1
    """Largest erased area (filled with the image's mean), as a share of the image."""


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _log_uniform(count: int, spread: float, generator: torch.Generator) -> Tensor:
    limit = math.log1p(spread)
    return torch.exp(_uniform(count, -limit, limit, generator))


def _warp(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Rotate, scale, stretch and shift each image; what lies outside repeats the border."""
    count, _, height, width = images.shape
    angle = _uniform(count, -settings.rotation_deg, settings.rotation_deg, generator) * math.pi / 180
    zoom = _log_uniform(count, settings.scale, generator)
    stretch = torch.sqrt(_log_uniform(count, settings.aspect, generator))
    across, down = zoom * stretch, zoom / stretch
    ratio = height / width
    theta = torch.empty(count, 2, 3)
    theta[:, 0, 0] = torch.cos(angle) / across
    theta[:, 0, 1] = -torch.sin(angle) / across * ratio
    theta[:, 1, 0] = torch.sin(angle) / down / ratio
    theta[:, 1, 1] = torch.cos(angle) / down
    theta[:, 0, 2] = _uniform(count, -2 * settings.shift, 2 * settings.shift, generator)
    theta[:, 1, 2] = _uniform(count, -2 * settings.shift, 2 * settings.shift, generator)
    grid = F.affine_grid(theta, [count, 1, height, width], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sharpen_or_blur(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Blend each image with a 5x5 binomially blurred copy of itself; a negative share sharpens."""
    count, channels = images.shape[:2]
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    flat = padded.reshape(count * channels, 1, *padded.shape[2:])
    flat = F.conv2d(flat, kernel.view(1, 1, 1, 5))
    blurred = F.conv2d(flat, kernel.view(1, 1, 5, 1)).reshape(images.shape)
    share = _uniform(count, -settings.sharpness, 1.0, generator).view(-1, 1, 1, 1)
    return torch.lerp(images, blurred, share)


def _intensity(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Gamma, then contrast about the image's mean, then brightness, on values of 0 to 1."""
    count = len(images)
    gamma = _log_uniform(count, settings.gamma, generator).view(-1, 1, 1, 1)
    images = images.clamp_(1e-4, 1.0).pow_(gamma)
    gain = _log_uniform(count, settings.contrast, generator).view(-1, 1, 1, 1)
    offset = _uniform(count, -settings.brightness, settings.brightness, generator).view(-1, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return images.mul_(gain).add_(mean * (1 - gain) + offset)


def _erase(images: Tensor, settings: AugmentSettings, generator: torch.Generator) -> None:
    """Fill one random rectangle of some of the images, in place, with the image's mean."""
    count, _, height, width = images.shape
    draws = torch.rand(count, 5, generator=generator).tolist()
    for index, (chance, share, aspect, top, left) in enumerate(draws):
        if chance >= settings.erase_probability:
            continue
        area = settings.erase_share * (0.2 + 0.8 * share) * height * width
        ratio = 2.0 ** (2 * aspect - 1)
        tall = min(height, max(1, round(math.sqrt(area * ratio))))
        wide = min(width, max(1, round(math.sqrt(area / ratio))))
        row, column = int(top * (height - tall + 1)), int(left * (width - wide + 1))
        images[index, :, row : row + tall, column : column + wide] = images[index].mean()


def augment(images: Tensor, generator: torch.Generator, settings: AugmentSettings) -> Tensor:
    """Return a randomly changed float copy, values 0 to 255, of the images (N, C, H, W) of 0 to 255."""
    changed = _warp(images / 255, settings, generator)
    if settings.sharpness > 0:
        changed = _sharpen_or_blur(changed, settings, generator)
    changed = _intensity(changed, settings, generator)
    if settings.noise > 0:
        level = _uniform(len(changed), 0.0, settings.noise, generator).view(-1, 1, 1, 1)
        changed.add_(torch.randn(changed.shape, generator=generator).mul_(level))
    changed.clamp_(0.0, 1.0)
    if settings.erase_probability > 0:
        _erase(changed, settings, generator)
    return changed.mul_(255)


def _light(images: Tensor, generator: torch.Generator) -> Tensor:
    return augment(images, generator, AugmentSettings())


def _none(images: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001 -- same shape as the others
    return images


PRESETS: dict[str, Augment] = {"light": _light, "none": _none}


def preset(name: str) -> Augment:
    """Return the augmentation called `name`: (B, C, H, W) uint8 → values 0..255 of the same shape.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown --augment '{name}'", did_you_mean(name, PRESETS))
    return PRESETS[name]
