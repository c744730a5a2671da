"""Figures of how one image looks, measured once while it is decoded."""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage

Grey = NDArray[np.float32]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

# Sharpness is judged at the size networks see: a full-size radiograph and its 224 px copy then score alike.
_SHARPNESS_SIDE_PX = 224
# Blocks and noise exist at the file's own size only; this much of the middle is enough to average over.
_WINDOW_PX = 512
_JPEG_BLOCK_PX = 8
_FEWEST_BLOCKS = 8
_BORDER_SHARE = 0.04
_BLUR_TAPS = 9
_GREY_LEVEL = np.float32(1 / 255)
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


@dataclass(frozen=True)
class ImageStatistics:
    """Figures of one image, each 0..1, grey values as shares of the type's range: also for 16 bits.

    Args:
        mean, std, minimum, maximum: of all samples.
        p01, p05, p50, p95, p99: percentiles of all samples.
        black_share, white_share: share of the samples that are 0, or the type's greatest value.
        contrast: p99 - p01.
        levels: distinct values over 256, at most 1: 1/256 for one value, 2/256 for a mask.
        commonest_share: share of the samples that have the most common value.
        entropy: of the histogram of 256 equal bins, over 8 bits; 0 for one value.
        sharpness: how much of the steps between neighbours a 9-pixel mean takes away, in the blurrier
            direction, with the longer side reduced to at most 224 pixels; 0 without any step. Crete F et al.
            The blur effect. Proc SPIE 2007;6492:64920I (1 - their blur).
        blockiness: how much stronger steps between the 8x8 blocks of JPEG are than those inside, as
            (between - inside) / (between + inside + one level of 256), in the direction with the weaker grid;
            0 below 64 pixels a side.
        noise: standard deviation of the noise at the file's own size. Immerkaer J. Fast noise variance
            estimation. Comput Vis Image Underst 1996;64:300-302.
        border_mean, centre_mean: mean grey of the outer 4 % of each side, and of what it frames.
        top_mean, bottom_mean, left_mean, right_mean: mean grey of the halves.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    p01: float
    p05: float
    p50: float
    p95: float
    p99: float
    black_share: float
    white_share: float
    contrast: float
    levels: float
    commonest_share: float
    entropy: float
    sharpness: float
    blockiness: float
    noise: float
    border_mean: float
    centre_mean: float
    top_mean: float
    bottom_mean: float
    left_mean: float
    right_mean: float


STATISTICS_COLUMNS = tuple(field.name for field in fields(ImageStatistics))


def look_at(image: DecodedImage) -> ImageStatistics:
    """Return the figures of a decoded image."""
    pixels = image.pixels
    grey = _grey(pixels)
    white = np.float32(np.iinfo(pixels.dtype).max)
    small = _reduced(grey) / white
    window = _middle(grey) / white
    return ImageStatistics(
        **_of_histogram(_histogram(pixels)),
        sharpness=_sharpness(small),
        blockiness=_blockiness(window),
        noise=_noise(window),
        **_of_places(small),
    )


def _grey(pixels: Pixels) -> Pixels:
    """Return the brightness (H, W) of (H, W, C), by ITU-R BT.601."""
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    grey: Pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    return grey


def _histogram(pixels: Pixels) -> NDArray[np.int64]:
    """Return how often each value of the type occurs, (256,) or (65536,)."""
    size = int(np.iinfo(pixels.dtype).max) + 1
    samples: Pixels = np.ascontiguousarray(pixels).reshape(len(pixels), -1)  # type: ignore[assignment]
    counts = cv2.calcHist([samples], [0], None, [size], [0, size])
    return np.asarray(counts, dtype=np.int64).ravel()  # one axis or two, as OpenCV 5 or 4 returns them


def _of_histogram(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return the figures that do not depend on where a value stands."""
    greatest = len(counts) - 1
    present = np.flatnonzero(counts)
    values, counts = present / greatest, counts[present]
    shares = counts / counts.sum()
    mean = float(shares @ values)
    below = np.cumsum(counts)
    ranks = np.array([0.01, 0.05, 0.5, 0.95, 0.99]) * below[-1]
    p01, p05, p50, p95, p99 = values[np.searchsorted(below, ranks)].tolist()
    bins = np.bincount(present * 256 // (greatest + 1), weights=shares)
    bins = bins[bins > 0]
    return {
        "mean": min(mean, 1.0),
        "std": float(np.sqrt(shares @ (values - mean) ** 2)),
        "minimum": float(values[0]),
        "maximum": float(values[-1]),
        "p01": p01,
        "p05": p05,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "black_share": float(shares[0]) if values[0] == 0 else 0.0,
        "white_share": float(shares[-1]) if values[-1] == 1 else 0.0,
        "contrast": p99 - p01,
        "levels": min(len(present) / 256, 1.0),
        "commonest_share": float(shares.max()),
        "entropy": min(1.0, abs(float(bins @ np.log2(bins))) / 8),
    }


def _reduced(grey: Pixels) -> Grey:
    """Return the picture with its longer side at most `_SHARPNESS_SIDE_PX`, each pixel the mean of its area."""
    height, width = grey.shape
    factor = _SHARPNESS_SIDE_PX / max(height, width)
    if factor >= 1:
        return grey.astype(np.float32)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _middle(grey: Pixels) -> Grey:
    """Return the middle, at most `_WINDOW_PX` a side, cut so that it begins with a block."""
    top, left = (max(0, side - _WINDOW_PX) // 2 // _JPEG_BLOCK_PX * _JPEG_BLOCK_PX for side in grey.shape)
    return grey[top : top + _WINDOW_PX, left : left + _WINDOW_PX].astype(np.float32)


def _sharpness(grey: Grey) -> float:
    """Return the share of its steps a picture loses when blurred: 0 without a step."""
    lost = []
    for axis, taps in ((0, (1, _BLUR_TAPS)), (1, (_BLUR_TAPS, 1))):
        steps = _steps(grey, axis)
        total = cv2.sumElems(steps)[0]
        if total > 0:
            blurred = _steps(cv2.blur(grey, taps).reshape(grey.shape), axis)
            lost.append(cv2.sumElems(cv2.max(cv2.subtract(steps, blurred), 0.0))[0] / total)  # type: ignore[call-overload]
    return min(lost, default=0.0)


def _steps(picture: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the absolute steps between neighbours of a picture (H, W) along an axis."""
    if picture.shape[axis] < 2:
        return np.zeros((1, 1), dtype=picture.dtype)
    return (
        cv2.absdiff(picture[1:], picture[:-1]) if axis == 0 else cv2.absdiff(picture[:, 1:], picture[:, :-1])
    )


def _blockiness(grey: Grey) -> float:
    """Return how much the 8x8 grid stands out, 0 where fewer than `_FEWEST_BLOCKS` stand in a row."""
    found = []
    for axis in (1, 0):
        blocks = grey.shape[axis] // _JPEG_BLOCK_PX
        if blocks < _FEWEST_BLOCKS:
            return 0.0
        # The step after the last block is missing where the picture ends with it.
        used = grey[:, : blocks * _JPEG_BLOCK_PX] if axis else grey[: blocks * _JPEG_BLOCK_PX]
        steps = cv2.reduce(_steps(used, axis), 1 - axis, cv2.REDUCE_AVG, dtype=cv2.CV_64F).ravel()
        folded = np.append(steps, np.inf).reshape(blocks, _JPEG_BLOCK_PX)
        # The median over the blocks, as one edge of the anatomy on the grid would make a mean large.
        inside = np.sort(_median(np.sort(folded[:, :-1], axis=0)))[_JPEG_BLOCK_PX // 2 - 1]
        between = _median(np.sort(folded[:-1, -1]))
        found.append(float((between - inside) / (between + inside + _GREY_LEVEL)))
    return max(0.0, min(found))


def _median(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over the first axis of what is in order along it; NumPy's own takes ten times as long."""
    count = len(ordered)
    return np.asarray((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)


def _noise(grey: Grey) -> float:
    """Return the standard deviation of the noise: a mask that planes and edges leave at 0."""
    if min(grey.shape) < 3:
        return 0.0
    answer = cv2.filter2D(grey, cv2.CV_32F, _NOISE_KERNEL)[1:-1, 1:-1]
    return min(1.0, float(np.sqrt(np.pi / 2) * cv2.norm(answer, cv2.NORM_L1) / answer.size / 6))


def _of_places(grey: Grey) -> dict[str, float]:
    """Return mean grey values by where they stand."""
    height, width = grey.shape
    down, across = (max(1, round(side * _BORDER_SHARE)) for side in grey.shape)
    inner = grey[down : height - down, across : width - across]
    total, framed = cv2.sumElems(grey)[0], cv2.sumElems(inner)[0] if inner.size else 0.0
    halves = {
        "top_mean": grey[: (height + 1) // 2],
        "bottom_mean": grey[height // 2 :],
        "left_mean": grey[:, : (width + 1) // 2],
        "right_mean": grey[:, width // 2 :],
    }
    return {
        "border_mean": min(1.0, max(0.0, (total - framed) / (grey.size - inner.size))),
        "centre_mean": framed / inner.size if inner.size else total / grey.size,
    } | {name: cv2.mean(part)[0] for name, part in halves.items()}
