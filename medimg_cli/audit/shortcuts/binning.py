"""Values put into a few bins without looking at any label, and which bins tell a class."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "not known"
OTHER = "others"
_QUANTILES = 10
_MOST_CATEGORIES = 30
# A value this frequent is a setting of some machine or program and gets a bin of its own.
_COMMON_SHARE = 0.03
_FEW_IMAGES = 5


@dataclass(frozen=True)
class Binned:
    """The bin of every image.

    Args:
        codes: (N,) int64, positions in `names`.
        names: what each bin is called.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """The images of one bin, or on one side of a threshold.

    Args:
        name: what they have in common.
        members: (N,) which images.
        share: of them that belong to the class, 0..1.
    """

    name: str
    members: NDArray[np.bool_]
    share: float

    @property
    def images(self) -> int:
        return int(self.members.sum())


def bin_texts(values: Sequence[str]) -> Binned:
    """Return each frequent text as a bin, the rare ones as one together, "" as `UNKNOWN`."""
    counts = Counter(values)
    least = max(_FEW_IMAGES, round(0.002 * len(values)))
    frequent = [value for value, count in counts.most_common(_MOST_CATEGORIES) if value and count >= least]
    names = (UNKNOWN, OTHER, *frequent)
    place = {"": 0} | {value: number + 2 for number, value in enumerate(frequent)}
    return Binned(np.array([place.get(value, 1) for value in values], dtype=np.int64), names)


def bin_numbers(values: NDArray[np.float64]) -> Binned:
    """Return frequent values as bins of their own and ten quantiles of the others; NaN is `UNKNOWN`.

    Args:
        values: (N,).
    """
    known = np.isfinite(values)
    distinct, counts = np.unique(values[known], return_counts=True)
    least = max(_FEW_IMAGES, _COMMON_SHARE * len(values))
    common = distinct[counts >= least]
    rest = known & ~np.isin(values, common)
    edges = (
        np.unique(np.quantile(values[rest], np.linspace(0, 1, _QUANTILES + 1))) if rest.any() else common[:0]
    )
    codes = np.zeros(len(values), dtype=np.int64)
    in_common = known & ~rest
    codes[in_common] = 1 + np.searchsorted(common, values[in_common])
    inner = edges[1:-1]
    codes[rest] = 1 + len(common) + np.searchsorted(inner, values[rest], side="left")
    ranges = [f"{shown(low)} to {shown(high)}" for low, high in pairwise(edges)] or [
        shown(edge) for edge in edges
    ]
    return Binned(codes, (UNKNOWN, *(shown(value) for value in common), *ranges))


def telling_parts(binned: Binned, truth: NDArray[np.bool_]) -> tuple[Part, Part]:
    """Return the two bins that speak most for and most against a class, the more surprising one first.

    A bin weighs by how far its share of the class is from the share everywhere, times the root of its size:
    three images that all agree say less than three hundred of which nearly all do.

    Args:
        truth: (N,) which images belong to the class; at least two bins are in use.
    """
    count = len(binned.names)
    images = np.bincount(binned.codes, minlength=count)
    hits = np.bincount(binned.codes, weights=truth, minlength=count)
    used = np.flatnonzero(images)
    weights = (hits[used] / images[used] - truth.mean()) * np.sqrt(images[used])
    parts = [
        Part(binned.names[code], binned.codes == code, float(hits[code] / images[code]))
        for code in (used[np.argmax(weights)], used[np.argmin(weights)])
    ]
    first = int(np.abs(weights).argmax() != weights.argmax())
    return parts[first], parts[1 - first]


def two_sides(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[Part, Part]:
    """Return the images up to the threshold that parts a class best (Youden's J), and those above it.

    Args:
        values: (N,) finite, at least two different ones.
        truth: (N,), both values occur.
    """
    order = np.argsort(values, kind="stable")
    ordered, hits = values[order], truth[order]
    ends = np.flatnonzero(np.diff(ordered))  # a threshold stands between two different values
    caught = np.cumsum(hits)[ends] / hits.sum()
    alarms = np.cumsum(~hits)[ends] / (~hits).sum()
    best = ends[np.abs(caught - alarms).argmax()]
    edge = float(ordered[best])
    below = values <= edge
    return (
        Part(f"up to {shown(edge)}", below, float(truth[below].mean())),
        Part(f"above {shown(edge)}", ~below, float(truth[~below].mean())),
    )


def shown(value: float) -> str:
    """Return a number as people write it.

    >>> shown(1024.0), shown(0.12345), shown(2019.0)
    ('1024', '0.123', '2019')
    """
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
