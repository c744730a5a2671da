"""What pictures of one kind differ in from site to site: brightness, contrast, sharpness, framing and side ratio.

A reference that had seen the training images alone would call every picture from another machine unlike them. So it also
sees a copy of each that was altered at random, wider than any preset augments: what then still stands out is of another
kind. Limits rest on validation as it is, and stay where the stated share of it lies.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.preprocessing.recipe import Recipe

Floats = NDArray[np.float32]

ZOOM, COARSER, GAMMA, CONTRAST, BRIGHTNESS, DARKER, TINT, NARROWER = 0.4, 3.0, 0.5, 0.5, 0.2, 0.6, 0.1, 0.4
"""Largest part that is cut off, and how many times fewer pixels there are beside all of them; largest logarithm of the
exponent; by how much contrast, brightness, white, a channel, and one side (in a letterbox) are changed at most."""
_FEWEST_PX = 8


def altered(shares: Floats, recipe: Recipe, generator: np.random.Generator) -> Floats:
    """Return a copy of a picture (H, W, C) in 0..1 as another site might have made it, of the same shape."""
    layers = _reframed(shares, generator)
    power = float(np.exp(generator.uniform(-GAMMA, GAMMA)))
    changed = np.clip(layers, 0, 1) ** power
    mean = float(changed.mean(dtype=np.float64))
    contrast, brightness = 1 + CONTRAST * generator.uniform(-1, 1), BRIGHTNESS * generator.uniform(-1, 1)
    changed = np.clip((changed - mean) * contrast + mean + brightness, 0, 1)
    changed = changed * (1 - DARKER * generator.uniform())
    if shares.shape[2] > 1:
        changed = changed * (1 - TINT * generator.uniform(size=shares.shape[2]))
    changed = np.asarray(changed, dtype=np.float32)
    return _letterboxed(changed, generator) if recipe.resize_mode == "pad" else changed


def _reframed(shares: Floats, generator: np.random.Generator) -> Floats:
    """Return a part of the picture, as if it had fewer pixels, at the size of the whole."""
    height, width, _ = shares.shape
    part = 1 - ZOOM * generator.uniform()
    top, left = (1 - part) * generator.uniform(size=2)
    box = (left * width, top * height, (left + part) * width, (top + part) * height)
    coarse = 1 + COARSER * generator.uniform()
    fewer = max(_FEWEST_PX, round(width / coarse)), max(_FEWEST_PX, round(height / coarse))
    layers = []
    for layer in range(shares.shape[2]):
        small = Image.fromarray(shares[..., layer]).resize(fewer, Image.Resampling.BILINEAR, box=box)
        layers.append(np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(layers, axis=-1)


def _letterboxed(shares: Floats, generator: np.random.Generator) -> Floats:
    """Return the picture with one of its sides shortened, between bars of black."""
    height, width, _ = shares.shape
    rest = 1 - NARROWER * generator.uniform()
    upright = generator.uniform() < 0.5
    wide, high = (width, max(1, round(height * rest))) if upright else (max(1, round(width * rest)), height)
    left, top = (width - wide) // 2, (height - high) // 2
    canvas = np.zeros_like(shares)
    for layer in range(shares.shape[2]):
        narrow = Image.fromarray(shares[..., layer]).resize((wide, high), Image.Resampling.BILINEAR)
        canvas[top : top + high, left : left + wide, layer] = np.asarray(narrow)
    return canvas
