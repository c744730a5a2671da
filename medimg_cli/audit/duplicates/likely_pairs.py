"""Pairs of pictures whose fingerprints are alike: of every pair, or of those in the likeliest cells alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.audit.duplicates.fingerprint import Fingerprints, Floats, Positions, likeness_scores, parts
from medimg_cli.workspace.threads import map_ordered

KEPT_PER_IMAGE, _KEPT_OF_CELLS = 32, 8
"""Of the pairs of one picture this many are kept: frames of one film are all alike."""
_ROWS, _COLUMNS = 512, 4096
_COMPARED_AT_ONCE = 32_768
_CELL, _NEAREST_CELLS, _SAMPLED = 2_500, 16, 64
_ROUNDS = 8


@dataclass(frozen=True)
class LikelyPairs:
    """Pairs of positions, one entry each.

    Args:
        first: (P) int32, the query where two sets were compared.
        second: (P) int32.
        score: (P), cosine of their fingerprints in 0..1.
        likeness: (P) int8, number in `fingerprint.LIKENESSES`.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    score: Floats
    likeness: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> "LikelyPairs":
        """Return the entries at `places`."""
        return LikelyPairs(self.first[places], self.second[places], self.score[places], self.likeness[places])


class Cells:
    """Fingerprints dealt to cells of about `_CELL` by the nearest of several directions, so that the cost of a search grows with their number.

    The directions are found by k-means of unit vectors, a vector and its opposite taken for one. Sivic, Zisserman. Video
    Google. ICCV 2003; Jégou, Douze, Schmid. IEEE Trans Pattern Anal Mach Intell 2011;33:117-128 (inverted file). In 16 of
    400 cells were all copies of 6,620 radiographs and ultrasound images that comparing every pair finds, but 3 in 100 of
    those cropped at two sides or turned by 5 degrees.

    Args:
        keys: of `Fingerprints`.
    """

    def __init__(self, keys: Floats) -> None:
        count = max(1, len(keys) // _CELL)
        sample = keys[np.linspace(0, len(keys) - 1, min(len(keys), _SAMPLED * count)).astype(np.int64)]
        self._centres = sample[:: max(1, len(sample) // count)][:count].copy()
        for _ in range(_ROUNDS):
            nearest, products = self._nearest(sample)
            sums = np.zeros_like(self._centres)
            np.add.at(sums, nearest, sample * np.sign(products)[:, None])
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            self._centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), self._centres)
        batches = [self._nearest(keys[part])[0] for part in parts(len(keys))]
        cell = np.where(keys.any(axis=1), np.concatenate(batches), count)  # flat pictures are in none
        self._order = np.argsort(cell, kind="stable").astype(np.int32)
        self._begins = np.searchsorted(cell[self._order], np.arange(count + 1))
        self._keys = keys[self._order]

    def near(self, asked: Floats) -> Iterator[tuple[Positions, Floats, Positions]]:
        """Yield rows of `asked`, keys of a cell that is one of the likeliest for them, and the positions of these."""
        likely = np.argpartition(
            -np.abs(asked @ self._centres.T), min(_NEAREST_CELLS, len(self._centres)) - 1
        )
        wanted = np.zeros((len(self._centres), len(asked)), dtype=np.bool_)
        np.put_along_axis(wanted.T, likely[:, :_NEAREST_CELLS], values=True, axis=1)
        for cell, of_rows in enumerate(wanted):
            for start in range(self._begins[cell], self._begins[cell + 1], _COLUMNS):
                part = slice(start, min(start + _COLUMNS, self._begins[cell + 1]))
                yield np.flatnonzero(of_rows), self._keys[part], self._order[part].astype(np.int64)

    def _nearest(self, keys: Floats) -> tuple[Positions, Floats]:
        products = keys @ self._centres.T
        nearest = np.abs(products).argmax(axis=1)
        return nearest, products[np.arange(len(keys)), nearest]


def likely_pairs(
    known: Fingerprints,
    queries: Callable[[slice], Fingerprints] | None = None,
    *,
    floor: float,
    cells: Cells | None = None,
) -> LikelyPairs:
    """Return the pairs whose fingerprints have a cosine of at least `floor`, at most 32 for each first picture.

    Time grows with the square of the pictures, with cells with their number; memory with their number.

    Args:
        known: (N) fingerprints.
        queries: part → others of the same pictures, in their order, to be compared with `known`; None compares each
            pair of `known` once, the first before the second, and with cells in the order in which they are found.
        cells: of `known`, to be searched instead of all.
    """
    rows = _ROWS if cells is None else 4 * _ROWS
    search = partial(_search_rows, rows=rows, known=known, queries=queries, floor=floor, cells=cells)
    # The blocks are spread over the cores; products that did so again would wait for each other.
    with threadpool_limits(1, "blas"):
        return join(list(map_ordered(search, range(0, len(known), rows))))


def join(pairs: list[LikelyPairs]) -> LikelyPairs:
    """Return the entries of all, in order."""
    none = np.empty(0, dtype=np.int32)
    parts = [LikelyPairs(none, none, none.astype(np.float32), none.astype(np.int8)), *pairs]
    return LikelyPairs(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.likeness for part in parts]),
    )


def best_of(pairs: LikelyPairs, ranks: Floats, count: int) -> Positions:
    """Return the places of the `count` entries with the highest `ranks` of each first picture."""
    order = np.lexsort((-ranks, pairs.first))
    firsts = pairs.first[order]
    begins = np.flatnonzero(np.r_[True, firsts[1:] != firsts[:-1]]) if len(firsts) else firsts
    sizes = np.diff(np.r_[begins, len(firsts)])
    rank_in_group = np.arange(len(firsts)) - np.repeat(begins, sizes)
    kept: Positions = order[rank_in_group < count]
    return kept


def _search_rows(
    start: int,
    rows: int,
    known: Fingerprints,
    queries: Callable[[slice], Fingerprints] | None,
    floor: float,
    cells: Cells | None,
) -> LikelyPairs:
    """Return the pairs whose first picture is one of `rows` from `start` on."""
    asked = (known.rows if queries is None else queries)(slice(start, start + rows))
    each_once = queries is None and cells is None
    blocks = cells.near(asked.keys) if cells else _all(len(asked), known, start if each_once else 0)
    most = _KEPT_OF_CELLS if cells else KEPT_PER_IMAGE
    room = np.empty(len(asked) * _COLUMNS, dtype=np.float32)
    found = []
    for asking, keys, positions in blocks:
        first, place = _alike_keys(asked.keys[asking], keys, floor, 2 * most, room)
        first, second = asking[first], positions[place]
        wanted = second > first + start if each_once else second != first + start
        compared = _compare(first[wanted], second[wanted], asked.values, known.values)
        found.append(compared.take(compared.score >= floor))
    pairs = join(found)
    kept = pairs.take(best_of(pairs, pairs.score, most))
    return replace(kept, first=kept.first + np.int32(start))


def _all(asked: int, known: Fingerprints, begin: int) -> Iterator[tuple[Positions, Floats, Positions]]:
    for start in range(begin, len(known), _COLUMNS):
        keys = known.keys[start : start + _COLUMNS]
        yield np.arange(asked), keys, np.arange(start, start + len(keys))


def _alike_keys(
    asked: Floats, known: Floats, floor: float, most: int, room: Floats
) -> tuple[Positions, Positions]:
    """Return rows of `asked` and rows of `known` whose keys are alike, at most `most` for a row.

    The keys of a true copy are about as alike as the whole fingerprints, and compared four times as fast.
    """
    shape = len(asked), len(known)
    products = np.matmul(asked, known.T, out=room[: shape[0] * shape[1]].reshape(shape))
    np.abs(products, out=products)
    first, second = np.divmod(np.flatnonzero(products >= floor), shape[1])
    many = np.flatnonzero(np.bincount(first, minlength=len(asked)) > most)
    if len(many):
        least = np.full(len(asked), floor, dtype=np.float32)
        least[many] = np.partition(products[many], -most)[:, -most]
        kept = products[first, second] >= least[first]
        first, second = first[kept], second[kept]
    return first, second


def _compare(first: Positions, second: Positions, asked: Floats, known: Floats) -> LikelyPairs:
    score = np.empty(len(first), dtype=np.float32)
    likeness = np.empty(len(first), dtype=np.int8)
    for start in range(0, len(first), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        pair = asked[first[part]].astype(np.float32), known[second[part]].astype(np.float32)
        score[part], likeness[part] = likeness_scores(*pair)
    return LikelyPairs(first.astype(np.int32), second.astype(np.int32), score, likeness)
