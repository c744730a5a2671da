"""Random changes of whole batches on the processor: OpenCV image by image on bytes, tables instead of powers.

Beside torch's batched grid sampling on two cores this takes a tenth of the time; see `tests/benchmarks`.
"""

import functools
import math
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.training.augmentation.augment_ranges import STILL, AugmentRanges, Draw, draw_changes

Picture = NDArray[np.uint8] | NDArray[np.float32]
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_NOISE_NUMBERS = 1 << 20
_LEVELS = np.arange(256, dtype=np.float64) / 255


def change_pixels(
    images: Tensor, generator: torch.Generator, ranges: AugmentRanges, own: slice = slice(None)
) -> Tensor:
    """Return a randomly changed float32 copy (B, C, H, W), values 0..255, of images of 0..255.

    Args:
        images: (B, C, H, W), uint8, or float32 where there is more than eight bits to keep; C 1 or 3.
        generator: the only source of chance; it is used up for all images.
        own: which of them are changed and returned.
    """
    pixels = images[own].permute(0, 2, 3, 1).numpy()
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32, copy=False)
    changed = np.empty(pixels.shape, dtype=np.float32)
    for place, draw in enumerate(draw_changes(len(images), ranges, generator)[own]):
        changed[place] = _change(np.ascontiguousarray(pixels[place]), draw)
    np.clip(changed, 0.0, 255.0, out=changed)
    return torch.from_numpy(changed).permute(0, 3, 1, 2)


def moved_alike(images: Tensor, *, angle: float, zoom: float) -> Tensor:
    """Return images (B, C, H, W) of 0..255, all turned by `angle` radians and enlarged by `zoom` about the centre.

    What lies outside repeats the border; nothing else changes, the kind of numbers included: uint8 or float32.
    """
    draw = replace(STILL, angle=angle, zoom_across=zoom, zoom_down=zoom)
    pixels = images.permute(0, 2, 3, 1).numpy()
    moved = [_moved(np.ascontiguousarray(picture), draw).reshape(pixels.shape[1:]) for picture in pixels]
    return torch.from_numpy(np.stack(moved)).permute(0, 3, 1, 2)


def _change(picture: Picture, draw: Draw) -> NDArray[np.float32]:
    """Return one picture (H, W, C) changed as drawn: place, sharpness, exposure, colour, noise, erasing."""
    channels = picture.shape[2]
    picture = _blended(_moved(picture, draw), draw.blur)
    exposed = _exposed(picture, draw).reshape(*picture.shape[:2], channels)
    if channels == 3 and (draw.saturation != 1.0 or draw.colours != (1.0, 1.0, 1.0)):
        grey = exposed.mean(axis=2, keepdims=True)
        exposed = (grey + draw.saturation * (exposed - grey)) * np.array(draw.colours, dtype=np.float32)
    if draw.speckle or draw.noise:
        exposed = _noisy(exposed, draw)
    if draw.erase is not None:
        _erase(exposed, draw.erase)
    return exposed


def _moved(picture: Picture, draw: Draw) -> Picture:
    """Turn, mirror, zoom and shift; what lies outside repeats the border. A single channel's axis may go."""
    height, width = picture.shape[:2]
    matrix = _output_to_input(draw, height, width)
    if np.array_equal(matrix, [[1, 0, 0], [0, 1, 0]]):
        return picture
    return _as_picture(
        cv2.warpAffine(
            picture,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _blended(picture: Picture, share: float) -> Picture:
    """Blend with a blurred copy; a negative share sharpens."""
    if not share:
        return picture
    blurred = cv2.sepFilter2D(picture, -1, _BINOMIAL, _BINOMIAL, borderType=cv2.BORDER_REPLICATE)
    return _as_picture(cv2.addWeighted(picture, 1 - share, blurred, share, 0.0))


def _as_picture(result: object) -> Picture:
    """Return what OpenCV returns as what it is: its type stubs know no kinds of numbers."""
    return cast(Picture, result)


def _output_to_input(draw: Draw, height: int, width: int) -> NDArray[np.float64]:
    """Return the 2 x 3 matrix that says from where each pixel is fetched; it turns about the centre."""
    cosine, sine = math.cos(draw.angle), math.sin(draw.angle)
    across = (-1 if draw.mirrored else 1) / draw.zoom_across
    down = (-1 if draw.flipped else 1) / draw.zoom_down
    turn = np.array([[cosine * across, -sine * across], [sine * down, cosine * down]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([draw.shift_across * width, draw.shift_down * height])
    return np.column_stack([turn, centre + shift - turn @ centre])


def _exposed(picture: Picture, draw: Draw) -> NDArray[np.float32]:
    """Apply gamma, then contrast about the picture's mean, then brightness."""
    if draw.gamma == 1.0 and draw.gain == 1.0 and draw.offset == 0.0:
        return picture.astype(np.float32)
    if picture.dtype == np.uint8:
        levels = np.bincount(picture.ravel(), minlength=256)
        powers = _LEVELS**draw.gamma
        mean = float(levels @ powers) / picture.size
        table = 255 * (draw.gain * (powers - mean) + mean + draw.offset)
        return cast(NDArray[np.float32], cv2.LUT(picture, table.astype(np.float32)))
    lifted = np.clip(picture / np.float32(255), 0, 1) ** np.float32(draw.gamma)
    mean = float(lifted.mean())
    exposed = draw.gain * (lifted - mean) + (mean + draw.offset)
    return (255 * exposed).astype(np.float32, copy=False)


@functools.cache
def _noise_table() -> NDArray[np.float32]:
    """Return normal deviates to cut noise from: drawing a million anew for every batch costs more than warping."""
    return np.random.default_rng(0).standard_normal(_NOISE_NUMBERS, dtype=np.float32)


def _noisy(picture: NDArray[np.float32], draw: Draw) -> NDArray[np.float32]:
    table = _noise_table()
    needed = picture.size
    if needed >= len(table):
        table = np.tile(table, 2 + needed // len(table))
    start = int(draw.noise_start * (len(table) - needed))
    grain = table[start : start + needed].reshape(picture.shape)
    speckled = picture * (1 + np.float32(draw.speckle) * grain) if draw.speckle else picture
    # Read from its other end, so that the two kinds of noise do not go together.
    noisy: NDArray[np.float32] = speckled + np.float32(255 * draw.noise) * grain[::-1, ::-1]
    return noisy


def _erase(picture: NDArray[np.float32], erase: tuple[float, float, float, float]) -> None:
    """Fill one rectangle, in place, with the picture's mean (Zhong et al. 2017, arXiv:1708.04896)."""
    share, aspect, top, left = erase
    height, width = picture.shape[:2]
    area, ratio = share * height * width, 2.0 ** (2 * aspect - 1)
    tall = min(height, max(1, round(math.sqrt(area * ratio))))
    wide = min(width, max(1, round(math.sqrt(area / ratio))))
    row, column = int(top * (height - tall + 1)), int(left * (width - wide + 1))
    picture[row : row + tall, column : column + wide] = picture.mean()
