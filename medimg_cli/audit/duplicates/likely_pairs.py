"""Pairs of pictures that may show the same, found among all pairs by their fingerprints."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.audit.duplicates.fingerprint import Fingerprints, Floats, Positions, likeness_scores
from medimg_cli.workspace.threads import map_ordered

KEPT_PER_IMAGE = 32
"""Of the pairs of one picture this many are kept: frames of one film are all alike."""
_ROWS, _COLUMNS = 512, 4096
_COMPARED_AT_ONCE = 32_768


@dataclass(frozen=True)
class LikelyPairs:
    """Pairs of positions, one entry each.

    Args:
        first: (P), the query where two sets were compared.
        second: (P).
        score: (P), cosine of their fingerprints in 0..1.
        likeness: (P), number in `fingerprint.LIKENESSES`.
    """

    first: Positions
    second: Positions
    score: Floats
    likeness: Positions

    def __len__(self) -> int:
        return len(self.first)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> "LikelyPairs":
        """Return the entries at `places`."""
        return LikelyPairs(self.first[places], self.second[places], self.score[places], self.likeness[places])


def likely_pairs(known: Fingerprints, queries: Fingerprints | None = None, *, floor: float) -> LikelyPairs:
    """Return the pairs whose fingerprints have a cosine of at least `floor`, at most 32 for each first picture.

    Time grows with the square of the pictures, memory with their number.

    Args:
        known: (N) fingerprints.
        queries: others of the same pictures, in their order, to be compared with `known`; None compares each
            pair of `known` once, the first before the second.
    """
    search = partial(_search_rows, known=known, queries=queries, floor=floor)
    # The blocks are spread over the cores; products that did so again would wait for each other.
    with threadpool_limits(1, "blas"):
        return join(list(map_ordered(search, range(0, len(known), _ROWS))))


def join(pairs: list[LikelyPairs]) -> LikelyPairs:
    """Return the entries of all, in order."""
    none = np.empty(0, dtype=np.int64)
    parts = [LikelyPairs(none, none, none.astype(np.float32), none), *pairs]
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
    return order[rank_in_group < count]


def _search_rows(start: int, known: Fingerprints, queries: Fingerprints | None, floor: float) -> LikelyPairs:
    """Return the pairs whose first picture is one of `_ROWS` from `start` on."""
    asked = known if queries is None else queries
    rows = slice(start, start + _ROWS)
    found = []
    for first, second in _alike_keys(asked.keys[rows], known.keys, start if queries is None else 0, floor):
        wanted = second > first + start if queries is None else second != first + start
        compared = _compare(first[wanted] + start, second[wanted], asked.values, known.values)
        found.append(compared.take(compared.score >= floor))
    pairs = join(found)
    return pairs.take(best_of(pairs, pairs.score, KEPT_PER_IMAGE))


def _alike_keys(
    asked: Floats, known: Floats, begin: int, floor: float
) -> Iterator[tuple[Positions, Positions]]:
    """Yield (rows of `asked`, rows of `known` from `begin` on) whose keys are alike, block by block.

    The keys of a true copy are about as alike as the whole fingerprints, and compared four times as fast.
    """
    room = np.empty((len(asked), _COLUMNS), dtype=np.float32)
    most = 2 * KEPT_PER_IMAGE
    for start in range(begin, len(known), _COLUMNS):
        block = known[start : start + _COLUMNS]
        products = np.matmul(asked, block.T, out=room[:, : len(block)])
        np.abs(products, out=products)
        first, second = np.divmod(np.flatnonzero(products >= floor), len(block))
        counts = np.bincount(first, minlength=len(asked))
        if counts.max() > most:
            least = np.full(len(asked), floor, dtype=np.float32)
            for row in np.flatnonzero(counts > most):
                least[row] = np.partition(products[row], -most)[-most]
            kept = products[first, second] >= least[first]
            first, second = first[kept], second[kept]
        yield first, second + start


def _compare(first: Positions, second: Positions, asked: Floats, known: Floats) -> LikelyPairs:
    score = np.empty(len(first), dtype=np.float32)
    likeness = np.empty(len(first), dtype=np.int64)
    for start in range(0, len(first), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        score[part], likeness[part] = likeness_scores(asked[first[part]], known[second[part]])
    return LikelyPairs(first, second, score, likeness)
