"""What a picture is compared by: its lowest frequencies, each weighed by how much it tells pictures apart.

The lowest frequencies of all chest X-rays are much the same, so that 64 signs of them (the usual perceptual hash)
call thousands of different patients equal. Here the coefficients of a discrete cosine transform are whitened over
the data set, without taking the mean away: what all pictures have in common then counts for little, and what stays
is still that of a mirrored or inverted copy but for its signs. Coefficients fall into four classes, of even and odd
frequency along each axis; mirroring turns the sign of two whole classes and inverting that of all four, so that the
four inner products of two pictures answer for eight ways of copying at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from medimg_cli.audit.measurements.thumbnails import SIDE_PX

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
ThumbnailReader = Callable[[Positions], NDArray[np.uint8]]
"""Positions (N) → thumbnails (N, SIDE_PX, SIDE_PX)."""

FREQUENCIES = 12
"""A side of the square of lowest frequencies; 16 lost crops and turns that 12 finds, 8 told fewer pictures apart."""
BATCH = 1024
REDUCED_PX = SIDE_PX // 2
_RIDGE = 0.01
"""Share of the mean power added to every direction, so that rounding noise is not blown up."""

_SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=np.float32)
"""Ways of mirroring (none, left to right, top to bottom, both) × classes (even-even, even-odd, odd-even, odd-odd)."""


@dataclass(frozen=True)
class Likeness:
    """How one picture was made from another, apart from what alignment finds.

    Args:
        mirrored: left to right.
        upside_down: top to bottom; with `mirrored`, half a turn.
        inverted: black is white.
    """

    mirrored: bool = False
    upside_down: bool = False
    inverted: bool = False

    @property
    def words(self) -> str:
        """Return what was done, "" when nothing was."""
        turned = self.mirrored and self.upside_down
        way = "turned by half" if turned else "upside down" if self.upside_down else "mirrored"
        parts = [way if self.mirrored or self.upside_down else "", "inverted" if self.inverted else ""]
        return ", ".join(filter(None, parts))

    def undo(self, picture: Floats) -> Floats:
        """Return a picture (H, W) mirrored and inverted back; each of these undoes itself."""
        picture = self.undo_place(picture)
        return 255 - picture if self.inverted else picture

    def undo_all(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures (N, H, W) mirrored and inverted back."""
        turned = pictures[:, :: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]
        return 255 - turned if self.inverted else turned

    def undo_place(self, picture: Floats) -> Floats:
        """Return a picture (H, W) mirrored back, whatever its values mean."""
        return np.ascontiguousarray(picture[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1])


LIKENESSES = tuple(
    Likeness(mirrored, upside_down, inverted)
    for inverted in (False, True)
    for upside_down in (False, True)
    for mirrored in (False, True)
)
"""Numbered as `likeness_scores` numbers them."""


@dataclass(frozen=True)
class Fingerprints:
    """Unit vectors that stand for pictures.

    Args:
        values: (N, 143), the four classes one after the other; a flat picture has zeros.
        keys: (N, 35), the even-even class by itself, of unit length: mirroring leaves it as it is.
    """

    values: Floats
    keys: Floats

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, part: slice) -> "Fingerprints":
        """Return some of them."""
        return Fingerprints(self.values[part], self.keys[part])


def reduced(pictures: NDArray[np.uint8]) -> Floats:
    """Return thumbnails (N, SIDE_PX, SIDE_PX) at half their side, as vectors (N, REDUCED_PX²) of sums of four."""
    sums = sum(
        (pictures[:, row::2, column::2].astype(np.float32) for row in (0, 1) for column in (0, 1)),
        np.float32(0),
    )
    return np.asarray(sums, dtype=np.float32).reshape(len(pictures), REDUCED_PX**2)


def transform(alter: csr_matrix | None = None) -> Floats:
    """Return what reduced pictures are multiplied by for the lowest coefficients of their discrete cosine transform (DCT-II).

    Args:
        alter: what alters reduced pictures before, (REDUCED_PX², REDUCED_PX²).

    Returns:
        (REDUCED_PX², 144).
    """
    places = np.arange(REDUCED_PX, dtype=np.float64) + 0.5
    waves = np.cos(np.pi / REDUCED_PX * np.arange(FREQUENCIES)[:, None] * places)
    planes = np.kron(waves, waves).astype(np.float32).T
    return planes if alter is None else np.asarray(alter.T @ planes, dtype=np.float32)


def parts(count: int) -> list[slice]:
    """Return the parts in which `count` pictures are gone through."""
    return [slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


class Weighing:
    """Weighs coefficients by a data set's own.

    Args:
        known: the coefficients of the data set, (N, 144) a batch, see `transform`.
    """

    def __init__(self, known: Iterable[Floats]) -> None:
        self._classes = _classes()
        count, sizes = 0, np.zeros(FREQUENCIES**2)
        moments = [np.zeros((len(places), len(places))) for places in self._classes]
        for batch in known:
            count += len(batch)
            sizes += np.abs(batch).sum(axis=0, dtype=np.float64)
            for places, moment in zip(self._classes, moments, strict=True):
                part = batch[:, places].astype(np.float64)
                moment += part.T @ part
        self._weights = [
            _whitening(count, sizes[places], moment)
            for places, moment in zip(self._classes, moments, strict=True)
        ]

    def fingerprints(self, coefficients: Floats) -> Fingerprints:
        """Return the fingerprints of pictures given by their coefficients (N, 144)."""
        parts = [coefficients[:, places] @ w for places, w in zip(self._classes, self._weights, strict=True)]
        return Fingerprints(_unit(np.concatenate(parts, axis=1)), _unit(parts[0]))


def likeness_scores(first: Floats, second: Floats) -> tuple[Floats, Positions]:
    """Compare fingerprints row by row.

    Args:
        first: (P, 143).
        second: (P, 143).

    Returns:
        The cosine in 0..1 of the likeness that fits best (P), and its number in `LIKENESSES` (P).
    """
    bounds = np.cumsum([0, *map(len, _classes())])[:-1]
    products = np.add.reduceat(first * second, bounds, axis=1) @ _SIGNS.T
    best = np.abs(products).argmax(axis=1)
    score = np.take_along_axis(products, best[:, None], axis=1)[:, 0]
    return np.abs(score), np.asarray(best + len(_SIGNS) * (score < 0))


def _classes() -> list[Positions]:
    """Return the places of each class among the 144; the mean grey value is in none."""
    numbers = np.arange(FREQUENCIES**2).reshape(FREQUENCIES, FREQUENCIES)
    classes = [numbers[row::2, column::2].ravel() for row in (0, 1) for column in (0, 1)]
    return [classes[0][1:], *classes[1:]]


def _whitening(count: int, sizes: NDArray[np.float64], moment: NDArray[np.float64]) -> Floats:
    """Return the matrix (D, D) under which `count` vectors have about the same power in every direction.

    Few pictures span few directions: the fewer, the more each direction keeps the weight it has.

    Args:
        sizes: (D), sums of absolute values.
        moment: (D, D), sums of products.
    """
    scale = sizes / count if count else np.ones(len(sizes))
    scale = np.maximum(scale, 1e-3 * scale.mean() + 1e-6)
    power, directions = np.linalg.eigh(moment / np.outer(scale, scale) / max(count, 1))
    ridge = (_RIDGE + len(sizes) / max(count, 1)) * max(float(power.mean()), 1e-6)
    whitening = (directions / np.sqrt(np.maximum(power, 0) + ridge)) @ directions.T
    return np.asarray(whitening / scale[:, None], dtype=np.float32)


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)
