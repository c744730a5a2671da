"""Whether two small pictures show the same: the second laid onto the first, then fine structure compared.

Two chest X-rays of different people agree in everything coarse. What tells a copy is the fine structure, and that
only once cropping and turning are undone. So the second picture is moved by the affine map that fits best
(enhanced correlation coefficient, Evangelidis and Psarakis 2008), and the rest of each picture after smoothing,
evened out over its neighbourhood, is correlated where they overlap.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from medimg_cli.audit.duplicates.fingerprint import LIKENESSES, REDUCED_PX, Floats
from medimg_cli.audit.measurements.thumbnails import SIDE_PX

CERTAIN = 0.97
"""Similarity from which nothing is gained by aligning better."""
GOOD, _HOPELESS = 0.90, 0.60
"""Between these a better map may change the verdict on a pair."""
SMOOTHING_PX, NEIGHBOURHOOD_PX = 4.0, 8.0
CONTRAST = 40.0
"""Standard deviation every picture is given, in grey levels; `FLOOR` is one tenth of it."""
FLOOR = 4.0
_EDGE_PX = 3
_LEAST_OVERLAP = 0.5
_FARTHEST_PX = 10.0
"""A map that moves the corners farther from where it began makes one blot out of any other."""
_FEW = 32
_LEAST_TELLING = 0.1
_STEPS, _LAST_STEPS, _PRECISION = 40, 12, 1e-4
_BLUR_PX = 5


@dataclass(frozen=True)
class Canvas:
    """A picture as it is compared.

    Args:
        picture: (SIDE_PX, SIDE_PX), see `evened`.
        weights: (SIDE_PX, SIDE_PX) in 0..1, how much each place tells pictures apart, see `telling`.
    """

    picture: Floats
    weights: Floats


@dataclass(frozen=True)
class Alignment:
    """How well one picture covers another.

    Args:
        similarity: correlation of their fine structure in -1..1; -1 where they hardly overlap.
        moved: (2, 3), the map from places (x, y, 1) of the first to places of the second.
    """

    similarity: float
    moved: Floats

    def shift_px(self, origin: Floats) -> float:
        """Return how far the corners go from where the map `origin` has them, on average, in thumbnail pixels."""
        last = SIDE_PX - 1.0
        corners = np.array([[0, 0, 1], [last, 0, 1], [0, last, 1], [last, last, 1]])
        return float(np.linalg.norm(corners @ (self.moved - origin).T, axis=1).mean())


def align(first: Canvas, second: Canvas, start: Floats) -> Alignment:
    """Lay `second` onto `first`.

    Args:
        first: mirrored and inverted as `second` is.
        second: the picture that is moved.
        start: (2, 3), the map from places (x, y, 1) of `first` to places of `second` to begin with.
    """
    detail = fine_structure(first.picture)
    begun = Alignment(_similarity(detail, first, second, start), start)
    if begun.similarity >= CERTAIN:
        return begun
    # At half the side a step costs a quarter; what is left to move then is little.
    coarse = _improved(_halved(first.picture), _halved(second.picture), _rescaled(start, 0.5), _STEPS)
    if coarse is None:  # there is no map under which they correlate at all
        return begun
    near = _rescaled(coarse, 2)
    halfway = Alignment(_similarity(detail, first, second, near), near)
    found = [begun, halfway]
    if _HOPELESS < halfway.similarity < GOOD:  # elsewhere no decision hangs on the last hundredth
        better = _improved(first.picture, second.picture, near, _LAST_STEPS)
        found += [] if better is None else [Alignment(_similarity(detail, first, second, better), better)]
    return max((a for a in found if a.shift_px(start) <= _FARTHEST_PX), key=lambda a: a.similarity)


def _improved(first: Floats, second: Floats, start: Floats, steps: int) -> Floats | None:
    """Return the map (2, 3) under which the pictures (H, W) correlate best, None where none is found."""
    try:
        criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, steps, _PRECISION)
        mask, kind = np.full(first.shape, 255, dtype=np.uint8), cv2.MOTION_AFFINE
        _, moved = cv2.findTransformECC(first, second, start.copy(), kind, criteria, mask, _BLUR_PX)
    except cv2.error:
        return None
    return np.asarray(moved, dtype=np.float32)


def _halved(picture: Floats) -> Floats:
    half = (SIDE_PX // 2, SIDE_PX // 2)
    return np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _rescaled(moved: Floats, factor: float) -> Floats:
    """Return the map (2, 3) between pictures enlarged by `factor`; places are the middles of pixels."""
    linear = moved[:, :2]
    shift = (factor - 1) / 2  # a place x becomes factor * x + shift
    offset = factor * moved[:, 2] + shift - linear @ np.full(2, shift)
    return np.column_stack([linear, offset]).astype(np.float32)


def resemblance(first: NDArray[np.uint8], second: NDArray[np.uint8], *, enough: float = 1.0) -> float:
    """Return how well one thumbnail covers another in -1..1, tried mirrored, upside down and turned.

    Args:
        first: (SIDE_PX, SIDE_PX).
        second: (SIDE_PX, SIDE_PX).
        enough: where this is reached nothing more is tried.
    """
    everywhere = np.ones((SIDE_PX, SIDE_PX), dtype=np.float32)
    moving, best = Canvas(evened(second), everywhere), -1.0
    angles = (0, 90, *(sign * degrees for degrees in range(8, 48, 8) for sign in (-1, 1)))
    for start in (about_centre(1, degrees) for degrees in angles):
        for likeness in LIKENESSES[:4]:
            template = Canvas(likeness.undo(evened(first)), everywhere)
            best = max(best, align(template, moving, start).similarity)
            if best >= enough:
                return best
    return best


def about_centre(scale: float, degrees: float) -> Floats:
    """Return the map (2, 3) that shows a picture larger (scale below 1) and turned about its centre."""
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (SIDE_PX - 1) / 2)
    return np.column_stack([matrix, centre - matrix @ centre]).astype(np.float32)


def evened(picture: NDArray[np.uint8]) -> Floats:
    """Return a thumbnail with mean 128 and the one contrast all pictures are compared at."""
    values = picture.astype(np.float32)
    deviation = max(float(values.std()), 1e-3)
    return np.asarray((values - values.mean()) * (CONTRAST / deviation) + 128, dtype=np.float32)


def fine_structure(picture: Floats) -> Floats:
    """Return what smoothing takes away from a picture (H, W), by its strength in the neighbourhood."""
    rest = picture - cv2.GaussianBlur(picture, (0, 0), SMOOTHING_PX)
    # So wide a neighbourhood is as well seen at half the side, in an eighth of the time.
    wide = cv2.GaussianBlur(_halved(rest * rest), (0, 0), NEIGHBOURHOOD_PX / 2)
    strength = np.sqrt(cv2.resize(wide, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR))
    return np.asarray(rest / (strength + FLOOR), dtype=np.float32)


def warped(picture: Floats | NDArray[np.uint8], moved: Floats) -> Floats:
    """Return a picture (H, W) as seen through a map (2, 3), its rim continued outside."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(picture, moved, (SIDE_PX, SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.float32)


def telling(pictures: NDArray[np.uint8]) -> Floats:
    """Return how much each place of a data set's pictures tells them apart, 0..1 (SIDE_PX, SIDE_PX).

    It is the share of the fine structure that differs from picture to picture: none in the frame and the lettering
    of a screen, none on the rim of a round image. Of few pictures, or where all are alike, every place counts.

    Args:
        pictures: (N, SIDE_PX, SIDE_PX), a sample.
    """
    everywhere = np.ones((SIDE_PX, SIDE_PX), dtype=np.float32)
    if len(pictures) < _FEW:
        return everywhere
    structure = np.stack([fine_structure(evened(picture)) for picture in pictures])
    varying, power = structure.var(axis=0), np.square(structure).mean(axis=0)
    share = cv2.blur(varying, (_BLUR_PX, _BLUR_PX)) / (cv2.blur(power, (_BLUR_PX, _BLUR_PX)) + 1e-6)
    share = np.clip(2 * share - 1, 0, 1)  # half of the power in common is no more than chance leaves
    return np.asarray(share, dtype=np.float32) if share.mean() >= _LEAST_TELLING else everywhere


def _similarity(detail: Floats, first: Canvas, second: Canvas, moved: Floats) -> float:
    """Return the correlation of `detail`, the first's fine structure, with the second's where they overlap."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    overlap = cv2.warpAffine(second.weights * _inside(), moved, (SIDE_PX, SIDE_PX), flags=flags)
    weights = np.minimum(overlap, first.weights * _inside())
    total = float(weights.sum())
    if total < _LEAST_OVERLAP * float((first.weights * _inside()).sum()):
        return -1.0
    other = fine_structure(warped(second.picture, moved))
    one = detail - float((weights * detail).sum()) / total
    other = other - float((weights * other).sum()) / total
    strength = float((weights * one * one).sum()) * float((weights * other * other).sum())
    return float((weights * one * other).sum()) / float(np.sqrt(strength)) if strength > 0 else 0.0


@lru_cache(maxsize=1)
def _inside() -> Floats:
    """Return 1 where a picture is not at its rim, which smoothing does not know (SIDE_PX, SIDE_PX)."""
    inside = np.zeros((SIDE_PX, SIDE_PX), dtype=np.float32)
    inside[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX] = 1
    return inside


WORTH_ALIGNING = 0.72
_SHIFT_PX = 2
_BLOCKS, _BLOCK_PX = 3, 14
_RIM_PX = (REDUCED_PX - _BLOCKS * _BLOCK_PX) // 2


def likeness_of_blocks(moving: Floats, still: Floats) -> Floats:
    """Return how alike pairs of pictures are, about -1..1 (N): blocks at their best shift, by their strength.

    Args:
        moving: (N, REDUCED_PX²), reduced pictures.
        still: (N, REDUCED_PX²), altered as `moving` is.
    """
    one, other = _fine_structure(moving), _fine_structure(still)
    inner = slice(_RIM_PX, REDUCED_PX - _RIM_PX)
    other = np.ascontiguousarray(other[:, inner, inner])
    strength = np.sqrt(_sums(np.square(one[:, inner, inner])) * _sums(np.square(other)))
    best = np.full(strength.shape, -np.inf, dtype=np.float32)
    shifts = range(-_SHIFT_PX, _SHIFT_PX + 1)
    for down in shifts:
        rows = slice(_RIM_PX + down, REDUCED_PX - _RIM_PX + down)
        for across in shifts:
            columns = slice(_RIM_PX + across, REDUCED_PX - _RIM_PX + across)
            np.maximum(best, _sums(one[:, rows, columns] * other), out=best)
    best = np.minimum(best, strength)
    total = strength.sum(axis=(1, 2))
    return np.asarray(best.sum(axis=(1, 2)) / np.maximum(total, 1e-6), dtype=np.float32)


def _fine_structure(vectors: Floats) -> Floats:
    """Return what `alignment.fine_structure` does of evened pictures, of many and reduced (N, side, side)."""
    deviation = np.maximum(vectors.std(axis=1, keepdims=True), 1e-3)
    evened = (vectors - vectors.mean(axis=1, keepdims=True)) * np.float32(CONTRAST) / deviation
    pictures = evened.reshape(-1, REDUCED_PX, REDUCED_PX)
    fine, wide = _smoothing(SMOOTHING_PX), _smoothing(NEIGHBOURHOOD_PX)
    rest = pictures - fine @ pictures @ fine.T
    return np.asarray(rest / (np.sqrt(wide @ np.square(rest) @ wide.T) + FLOOR), dtype=np.float32)


@lru_cache(maxsize=2)
def _smoothing(deviation_px: float) -> Floats:
    """Return the matrix that smooths columns of a reduced picture; the width is given in thumbnail pixels."""
    width = deviation_px * REDUCED_PX / SIDE_PX
    return np.asarray(gaussian_filter1d(np.eye(REDUCED_PX), width, axis=0, mode="mirror"), dtype=np.float32)


def _sums(products: Floats) -> Floats:
    """Return the sums over each block (N, blocks, blocks) of (N, side, side)."""
    rows = products.reshape(len(products), _BLOCKS, _BLOCK_PX, -1).sum(axis=2)
    return np.asarray(rows.reshape(len(products), _BLOCKS, _BLOCKS, _BLOCK_PX).sum(axis=3), dtype=np.float32)
