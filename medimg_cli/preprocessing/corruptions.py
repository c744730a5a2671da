"""What goes wrong with pictures: blur, noise, brightness, contrast and JPEG, each at two strengths.

Cached pixels are disturbed, after the recipe's preprocessing: sigma counts pixels of what the network sees, and the
range is 0..255, or 0..65535 of 16 bits. The kinds are those of common corruption benchmarks (Hendrycks D,
Dietterich T. ICLR 2019, arXiv:1903.12261); the strengths are medimg's own, mild and plain to see.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.preprocessing.recipe import Pixels

Change = Callable[[Pixels, str], NDArray[Any]]
"""One picture (H, W, C) and its id → the picture disturbed, in the same range, not yet rounded or cut off."""

_TRUNCATE = 4  # the kernel of a blur reaches this many sigma


@dataclass(frozen=True)
class Disturbance:
    """One way to spoil a picture.

    Args:
        name: blur, noise, brightness, contrast, jpeg.
        strength: in words, with its unit.
        severity: 1 or 2.
        change: of one picture.
    """

    name: str
    strength: str
    severity: int
    change: Change

    def __call__(self, pixels: Pixels, image_ids: Sequence[str]) -> Pixels:
        """Return a disturbed copy (N, H, W, C) of pixels, uint8 or uint16 as they are.

        Args:
            image_ids: (N,), the seeds of what is random.
        """
        top, disturbed = np.iinfo(pixels.dtype).max, np.empty_like(pixels)
        for place, image_id in enumerate(image_ids):
            changed = self.change(np.ascontiguousarray(pixels[place]), image_id)
            disturbed[place] = np.clip(np.rint(changed), 0, top)
        return disturbed


@dataclass(frozen=True)
class DisturbedAnswers:
    """What a model answered to disturbed images.

    Args:
        rows: (M,), places in the predictions table, ascending.
        probabilities: (D, M, C), in the order of `DISTURBANCES`.
        pixels: what was disturbed, in words.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    pixels: str


def _blurred(sigma_px: float, picture: Pixels, _: str) -> NDArray[Any]:
    """Gaussian, mirrored at the border."""
    side = 2 * round(_TRUNCATE * sigma_px) + 1
    blurred = cv2.GaussianBlur(
        picture.astype(np.float32), (side, side), sigma_px, borderType=cv2.BORDER_REFLECT
    )
    return blurred.reshape(picture.shape)


def _noisy(share: float, picture: Pixels, image_id: str) -> NDArray[Any]:
    """Gaussian noise, the same for one image id at all times; a grey picture in three channels stays grey."""
    grey = bool((picture == picture[..., :1]).all())
    shape = (*picture.shape[:2], 1 if grey else picture.shape[2])
    seed = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
    noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return picture.astype(np.float32) + np.float32(share * np.iinfo(picture.dtype).max) * noise


def _brighter(share: float, picture: Pixels, _: str) -> NDArray[Any]:
    return picture.astype(np.float32) + np.float32(share * np.iinfo(picture.dtype).max)


def _flatter(factor: float, picture: Pixels, _: str) -> NDArray[Any]:
    """Grey values move towards the picture's own mean, which stays."""
    mean = picture.mean()
    return np.asarray(mean + factor * (picture - mean))


def _compressed(quality: int, picture: Pixels, _: str) -> NDArray[Any]:
    """JPEG has 8 bits: 16 are rounded to them and back."""
    step = np.iinfo(picture.dtype).max // 255
    shown = np.rint(picture / step).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as compressed:
        return np.asarray(compressed).reshape(picture.shape).astype(np.float32) * step


DISTURBANCES: tuple[Disturbance, ...] = (
    Disturbance("blur", "sigma 1 px", 1, partial(_blurred, 1.0)),
    Disturbance("blur", "sigma 2 px", 2, partial(_blurred, 2.0)),
    Disturbance("noise", "sd 5 % of the range", 1, partial(_noisy, 0.05)),
    Disturbance("noise", "sd 10 % of the range", 2, partial(_noisy, 0.10)),
    Disturbance("brightness", "+10 % of the range", 1, partial(_brighter, 0.10)),
    Disturbance("brightness", "+25 % of the range", 2, partial(_brighter, 0.25)),
    Disturbance("brightness", "−10 % of the range", 1, partial(_brighter, -0.10)),
    Disturbance("brightness", "−25 % of the range", 2, partial(_brighter, -0.25)),
    Disturbance("contrast", "× 0.75", 1, partial(_flatter, 0.75)),
    Disturbance("contrast", "× 0.5", 2, partial(_flatter, 0.5)),
    Disturbance("jpeg", "quality 50", 1, partial(_compressed, 50)),
    Disturbance("jpeg", "quality 20", 2, partial(_compressed, 20)),
)


def drawn_evenly(image_ids: Sequence[str], groups: Sequence[str], most: int) -> NDArray[np.int64]:
    """Return places of at most `most` images, of each group as many as of any other where it has so many.

    Within a group the order is that of a hash of the id, so neither the order nor the number of the others matters.

    Args:
        image_ids: (N,), unique.
        groups: (N,), such as classes.

    Returns:
        (M,), ascending.
    """
    order = sorted(
        range(len(image_ids)), key=lambda place: hashlib.sha256(image_ids[place].encode()).digest()
    )
    rank: dict[str, int] = {}
    rounds = []
    for place in order:
        rounds.append(rank.setdefault(groups[place], 0))
        rank[groups[place]] += 1
    first = np.lexsort((np.arange(len(order)), np.array(rounds, dtype=np.int64)))[:most]
    return np.sort(np.array(order, dtype=np.int64)[first])
