"""Where text may be burned into a picture: rows of thin strokes of one height. Cheap; reading decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from medimg_cli.images.image import DecodedImage

Grey = NDArray[np.uint8]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

Sample = TypeVar("Sample", bound=np.generic)

MOST_REGIONS = 8
# (reduction, side of the top-hat's square in reduced pixels): a stroke thinner than the square stands out.
_SCALES = ((1, 7), (2, 9), (4, 9))
_LEAST_CONTRAST, _MOST_CONTRAST = 30, 160  # grey levels a stroke rises over what lies around it
_LEAST_HEIGHT_PX, _MOST_HEIGHT_PX = 5, 48  # of a sign, in reduced pixels
_MOST_SIGNS = 400  # a picture full of texture has more: then only its stronger strokes are looked at
_LEAST_SIGNS, _LEAST_SIDE_RATIO = 3, 2.5  # of a line
_COLOURED = 40  # levels between the strongest and the weakest channel


@dataclass(frozen=True, order=True)
class Box:
    """An upright rectangle in pixels of the full picture: `x`, `y` its top left corner, `w`, `h` its extent."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True)
class _Signs:
    """Connected strokes that may be letters, each number an array (N,) in reduced pixels."""

    left: NDArray[np.int64]
    top: NDArray[np.int64]
    width: NDArray[np.int64]
    height: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    def of(self, places: NDArray[np.int64]) -> "_Signs":
        return _Signs(self.left[places], self.top[places], self.width[places], self.height[places])


def find_text_regions(pixels: Pixels) -> list[Box]:
    """Return where rows of signs may stand, the surest first, at most `MOST_REGIONS`.

    A small square laid over a picture erases light strokes thinner than itself; what it erases is looked at
    (the top-hat of mathematical morphology; dark strokes by its counterpart). Three or more of one height in a
    row are a line. A single letter, such as a side marker, is none. Some texture passes: reading decides.

    Args:
        pixels: (H, W) or (H, W, C), C 1 or 3, uint8 or uint16 over the full range.
    """
    found: list[tuple[float, Box]] = []
    for plane in _planes(pixels):
        for reduction, square in _SCALES:
            size = (plane.shape[1] // reduction, plane.shape[0] // reduction)
            if min(size) < 3 * square:
                continue
            small = plane if reduction == 1 else cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
            kernel = np.ones((square, square), np.uint8)
            for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
                strokes = np.asarray(cv2.morphologyEx(small, operation, kernel), dtype=np.uint8)
                found += [
                    (score, Box(*(reduction * side for side in (box.x, box.y, box.w, box.h))))
                    for score, box in _lines(strokes)
                ]
    return _without_repeats(found)


def _planes(pixels: Pixels) -> Iterator[Grey]:
    """Yield the grey picture (H, W), and how strongly coloured it is where it is grey for the most part."""
    eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    if eight.ndim == 2 or eight.shape[2] == 1:
        yield np.ascontiguousarray(eight.reshape(eight.shape[:2]), dtype=np.uint8)
        return
    strongest, weakest = eight.max(axis=2), eight.min(axis=2)
    yield np.asarray(strongest, dtype=np.uint8)
    spread = strongest - weakest
    if 0 < np.mean(spread > _COLOURED) < 0.1:
        yield np.asarray(spread, dtype=np.uint8)


def _lines(strokes: Grey) -> Iterator[tuple[float, Box]]:
    """Yield the rows of signs in a picture of strokes, with how much they look like text."""
    signs, mask = _signs(strokes)
    if len(signs) < _LEAST_SIGNS:
        return
    count, label = connected_components(_neighbours(signs), directed=False)
    sizes = np.bincount(label, minlength=count)
    for number in np.flatnonzero(sizes >= _LEAST_SIGNS):
        row = signs.of(np.flatnonzero(label == number))
        box = _around(row)
        inside = np.s_[box.y : box.y + box.h, box.x : box.x + box.w]
        levels = strokes[inside]
        ink = levels[mask[inside] > 0]
        if ink.size and box.w >= _LEAST_SIDE_RATIO * box.h and _on_one_line(row) and _is_written(levels, ink):
            yield float(min(len(row), 12) * ink.mean()), box


def _is_written(levels: Grey, ink: Grey) -> bool:
    """Return whether thin strokes stand on a ground without any, as writing does and texture does not."""
    strong = float(np.percentile(ink, 90))
    return float(np.mean(levels < 0.25 * strong)) >= 0.3 and float(np.mean(levels >= 0.6 * strong)) < 0.5


def _signs(strokes: Grey) -> tuple[_Signs, Grey]:
    """Return connected strokes of a letter's form, and the mask they were taken from."""
    counts = np.bincount(strokes.ravel()[::4], minlength=256)[::-1].cumsum()[::-1]
    busy = int(np.argmax(counts <= 0.03 * counts[0]))  # text covers little of a picture
    level = float(np.clip(busy, _LEAST_CONTRAST, 50))
    while True:
        mask = cv2.threshold(strokes, level, 255, cv2.THRESH_BINARY)[1]
        stats = np.asarray(cv2.connectedComponentsWithStats(mask, connectivity=8)[2], dtype=np.int64)[1:]
        left, top, width, height, area = stats.T
        fill = area / np.maximum(width * height, 1)
        narrow = width < 0.45 * height
        fits = (height >= _LEAST_HEIGHT_PX) & (height <= _MOST_HEIGHT_PX) & (width <= 14 * height)
        fits &= (fill > 0.12) & ((fill < 0.9) | narrow) & (width >= 1)
        if fits.sum() <= _MOST_SIGNS or level >= _MOST_CONTRAST:
            break
        level *= 1.3
    places = np.flatnonzero(fits)[: 2 * _MOST_SIGNS]
    return _Signs(left, top, width, height).of(places), np.asarray(mask, dtype=np.uint8)


def _neighbours(signs: _Signs) -> NDArray[np.bool_]:
    """Return (N, N): whether the second stands right of the first as the next letter of a word would."""
    lower, taller = (
        function(signs.height[:, None], signs.height[None]) for function in (np.minimum, np.maximum)
    )
    right, bottom = signs.left + signs.width, signs.top + signs.height
    gap = signs.left[None] - right[:, None]
    shared = np.minimum(bottom[:, None], bottom[None]) - np.maximum(signs.top[:, None], signs.top[None])
    near = (gap <= 1.1 * taller) & (gap >= -0.3 * lower) & (signs.left[None] > signs.left[:, None])
    return np.asarray(near & (taller <= 1.9 * lower) & (shared >= 0.6 * lower))


def _on_one_line(row: _Signs) -> bool:
    """Return whether most signs stand on one base line, or hang from one line."""
    height, bottom = float(np.median(row.height)), row.top + row.height
    return any(
        float(np.mean(np.abs(edge - np.median(edge)) <= max(1.0, 0.15 * height))) >= 0.6
        for edge in (bottom, row.top)
    )


def _around(row: _Signs) -> Box:
    x, y = int(row.left.min()), int(row.top.min())
    return Box(x, y, int((row.left + row.width).max()) - x, int((row.top + row.height).max()) - y)


def _without_repeats(found: Sequence[tuple[float, Box]]) -> list[Box]:
    """Return the best boxes; one that lies mostly inside a better one, or around it, is the same text."""
    kept: list[Box] = []
    for _, box in sorted(found, key=lambda item: (-item[0], item[1])):
        same = [other for other in kept if overlap(box, other) > 0.5]
        if not same:
            kept.append(box)
        else:
            kept[kept.index(same[0])] = bounding(box, same[0])
    return kept[:MOST_REGIONS]


def overlap(first: Box, second: Box) -> float:
    """Return which share of the smaller one both cover."""
    width = min(first.x + first.w, second.x + second.w) - max(first.x, second.x)
    height = min(first.y + first.h, second.y + second.h) - max(first.y, second.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(first.w * first.h, second.w * second.h)


def bounding(first: Box, second: Box) -> Box:
    """Return the smallest box around both."""
    x, y = min(first.x, second.x), min(first.y, second.y)
    right = max(first.x + first.w, second.x + second.w)
    bottom = max(first.y + first.h, second.y + second.h)
    return Box(x, y, right - x, bottom - y)


def mask_regions(pixels: NDArray[Sample], boxes: Sequence[Box]) -> NDArray[Sample]:
    """Return (H, W) or (H, W, C) with each box of one level: the median of the pixels along its edge.

    Black would do as well to hide, but a black bar only where text stood is a shortcut to what was written.
    """
    masked = pixels.copy()
    for box in boxes:
        inside = np.s_[box.y : box.y + box.h, box.x : box.x + box.w]
        part = pixels[inside]
        if part.size:
            edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
            masked[inside] = np.median(edge, axis=0).astype(pixels.dtype)
    return masked


def encode_regions(boxes: Sequence[Box]) -> str:
    """Return the boxes as the audit keeps them.

    >>> encode_regions([Box(1, 2, 30, 8), Box(5, 40, 20, 9)])
    '1,2,30,8;5,40,20,9'
    """
    return ";".join(f"{box.x},{box.y},{box.w},{box.h}" for box in boxes)


def decode_regions(text: str) -> list[Box]:
    """Return what `encode_regions` was given.

    Raises:
        ValueError: the text is not of that form.
    """
    return [Box(*map(int, part.split(","))) for part in text.split(";") if part]


def find_text(image: DecodedImage) -> str:
    """Return where text may stand in an image, as `audit.measurements.measurements` keeps it."""
    return encode_regions(find_text_regions(image.pixels))
