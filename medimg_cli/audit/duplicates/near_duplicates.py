"""Pictures that show the same and are not equal: copies that were saved, brightened, cropped, turned or mirrored.

Likely pairs are found by fingerprints (`audit.duplicates.near_duplicates`), the likeliest are laid onto each other and compared in
their fine structure (`audit.duplicates.alignment`). On 5,840 chest X-rays, 17 million pairs, one pair of files that are not equal
pixel by pixel came to 0.95, one exposure processed twice; the next, two exposures of one child, to 0.83. Copies made
on purpose stayed above 0.90 but for a few in a hundred turned by five degrees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.audit.duplicates.alignment import (
    WORTH_ALIGNING,
    Canvas,
    about_centre,
    align,
    evened,
    likeness_of_blocks,
    telling,
)
from medimg_cli.audit.duplicates.fingerprint import (
    LIKENESSES,
    REDUCED_PX,
    Fingerprints,
    Floats,
    Likeness,
    Positions,
    ThumbnailReader,
    Weighing,
    frequencies,
    likeness_scores,
    reduced,
)
from medimg_cli.audit.measurements.thumbnails import SIDE_PX
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.threads import map_ordered


@dataclass(frozen=True)
class Altered:
    """A way to alter every picture before it is compared with the others.

    Args:
        words: what was done to the copy it finds.
        map: (2, 3), places (x, y, 1) of the altered picture → places of the picture.
    """

    words: str
    map: Floats

    @cached_property
    def reduced(self) -> csr_matrix:
        """Return what alters a picture of `REDUCED_PX` a side as a vector, linear between pixels, its rim continued."""
        size, step = REDUCED_PX**2, SIDE_PX // REDUCED_PX
        down, across = np.divmod(np.arange(size), REDUCED_PX)
        places = np.stack([across, down, np.ones(size)]).astype(np.float64)
        places[:2] = step * places[:2] + (step - 1) / 2
        seen = (self.map.astype(np.float64) @ places - (step - 1) / 2) / step
        seen = seen.clip(0, REDUCED_PX - 1)
        before = np.floor(seen).clip(0, REDUCED_PX - 2).astype(np.int64)
        share = seen - before
        corners = [(x, y) for y in (0, 1) for x in (0, 1)]
        weights = [np.abs(1 - x - share[0]) * np.abs(1 - y - share[1]) for x, y in corners]
        sources = [(before[1] + y) * REDUCED_PX + before[0] + x for x, y in corners]
        rows = np.tile(np.arange(size), 4)
        cells = np.concatenate(weights).astype(np.float32)
        return csr_matrix((cells, (rows, np.concatenate(sources))), shape=(size, size))

    def apply(self, pictures: Floats) -> Floats:
        """Return reduced pictures (N, REDUCED_PX²) altered."""
        altered: NDArray[np.float32] = (self.reduced @ pictures.T).T
        return altered


AS_IT_IS = Altered("", about_centre(1, 0))
CROPPED = Altered("", about_centre(0.92, 0))
ALTERATIONS = (
    AS_IT_IS,
    CROPPED,
    *(Altered("", about_centre(1, sign * degrees)) for degrees in (4, 9, 14, 19, 24, 29) for sign in (1, -1)),
    Altered("turned by a quarter", about_centre(1, 90)),
)
"""The first two find what was cropped and are cheap; the others are for sets that are not large."""


class Groups:
    """Positions that belong together (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, position: int) -> int:
        """Return the position that stands for the group of `position`."""
        while self._parents[position] != position:
            self._parents[position] = self._parents[self._parents[position]]
            position = self._parents[position]
        return position

    def tie(self, first: int, second: int) -> None:
        """Make the groups of two positions one."""
        self._parents[self.root(first)] = self.root(second)

    def are_tied(self, first: int, second: int) -> bool:
        """Return whether two positions are in one group."""
        return self.root(first) == self.root(second)

    def members(self) -> list[list[int]]:
        """Return the groups of two or more, each in ascending order, by their first position."""
        found: dict[int, list[int]] = {}
        for position in range(len(self._parents)):
            found.setdefault(self.root(position), []).append(position)
        return [group for group in found.values() if len(group) > 1]


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


CONFIRMED = 0.90
"""Similarity from which two pictures are copies of one."""
SUSPECTED = 0.85
"""Similarity from which they may be."""
SMALL_SET = 20_000
"""Up to this many pictures, turned ones are searched for too, and less likely pairs are compared."""
LEAST_COMPARED = 5_000
LEAST_SIDE_PX = 24
"""Smaller pictures have too little structure; 28 x 28 chest X-rays were told apart (none of 17 million pairs)."""
_FLOORS, _FLOORS_LARGE = (0.45, 0.65), (0.60, 0.75)
"""Cosine of fingerprints from which pairs are likely: of pictures as they are, and of altered ones with them."""
_CHUNK = 512
_SAMPLE = 512
_FLAT = 4_600.0
"""Length of the coefficients of a picture with a standard deviation of about one grey level."""
_MOVED_PX = 1.0
"""Corners that move by more, on average, were cropped, shifted or turned."""


@dataclass(frozen=True)
class Pair:
    """Two pictures that show the same.

    Args:
        first: position of one picture.
        second: of the other.
        similarity: of their fine structure, `SUSPECTED`..1.
        kind: what differs, in words: "mirrored, cropped or turned".
    """

    first: int
    second: int
    similarity: float
    kind: str

    @property
    def is_confirmed(self) -> bool:
        """Return whether the pictures are copies, not only may be."""
        return self.similarity >= CONFIRMED

    @property
    def rounded(self) -> str:
        """Return the similarity in two digits, rounded down: what reads 0.90 is confirmed."""
        return f"{np.floor(100 * self.similarity) / 100:.2f}"


@dataclass(frozen=True)
class NearDuplicates:
    """What the search came to.

    Args:
        pairs: the most similar first. Of several pictures that show the same, not every pair is named, but
            enough to tie them together.
        compared: how many likely pairs were laid onto each other.
        passed_over: how many less likely ones were not.
        flat: how many pictures have too little in them to be compared.
    """

    pairs: tuple[Pair, ...]
    compared: int
    passed_over: int
    flat: int


def find_near_duplicates(
    look: ThumbnailReader, count: int, *, limit: int | None = None, progress: Progress = SilentProgress()
) -> NearDuplicates:
    """Find pictures that show the same.

    Args:
        look: positions (N) → thumbnails (N, SIDE_PX, SIDE_PX) uint8; `pictures.__getitem__` of an array will do.
        count: how many pictures there are.
        limit: how many likely pairs are compared at most, None = one for each picture, at least 5,000.
        progress: notified of every pair compared.
    """
    if count < 2:
        return NearDuplicates((), 0, 0, 0)
    coefficients = frequencies(look, count, [altered.reduced for altered in _alterations(count)])
    flat = np.linalg.norm(coefficients[0, :, 1:], axis=1) < _FLAT
    coefficients[:, flat] = 0
    pairs, origins = _candidates(coefficients)
    order = np.argsort(-pairs.score, kind="stable")
    sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    search = _Search(look, count, telling(look(sample)))
    progress.start("comparing likely copies", len(order))
    most = max(LEAST_COMPARED, count) if limit is None else limit
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        search.compare(pairs.take(part), origins[part], most)
        progress.advance(len(part))
    progress.finish()
    return NearDuplicates(search.result(), search.compared, search.passed_over, int(flat.sum()))


def _candidates(coefficients: Floats) -> tuple[LikelyPairs, Positions]:
    """Return each likely pair once, and the number of the alteration under which it is likeliest.

    Args:
        coefficients: (A, N, 144), of the pictures as they are and then of the altered ones.
    """
    count = coefficients.shape[1]
    weighing = Weighing(coefficients[0])
    known = weighing.fingerprints(coefficients[0])
    floor, floor_altered = _FLOORS if count <= SMALL_SET else _FLOORS_LARGE
    altered = map(weighing.fingerprints, coefficients[1:])
    found = [likely_pairs(known, floor=floor)]
    found += [likely_pairs(known, changed, floor=floor_altered) for changed in altered]
    pairs = join(found)
    origins = np.repeat(np.arange(len(found)), [len(part) for part in found])
    names = np.minimum(pairs.first, pairs.second) * count + np.maximum(pairs.first, pairs.second)
    order = np.lexsort((-pairs.score, names))
    kept = order[np.unique(names[order], return_index=True)[1]]
    return pairs.take(kept), origins[kept]


def _alterations(count: int) -> tuple[Altered, ...]:
    return ALTERATIONS if count <= SMALL_SET else (AS_IT_IS, CROPPED)


class _Search:
    """Compares likely pairs, the likeliest first, but none whose pictures are tied already."""

    def __init__(self, look: ThumbnailReader, count: int, weights: Floats) -> None:
        self._look = look
        self._weights = weights
        self._alterations = _alterations(count)
        self._groups = Groups(count)
        self._found: list[Pair] = []
        self.compared = 0
        self.passed_over = 0

    def compare(self, pairs: LikelyPairs, origins: Positions, most: int) -> None:
        """Compare some more pairs, until `most` have been; further ones are counted."""
        ties = zip(pairs.first, pairs.second, strict=True)
        untied = np.array([not self._groups.are_tied(int(one), int(other)) for one, other in ties])
        places = np.flatnonzero(untied)
        chosen = places[: max(0, most - self.compared)]
        self.compared += len(chosen)
        self.passed_over += len(places) - len(chosen)
        if not len(chosen):
            return
        for pair in self._similar(pairs.take(chosen), origins[chosen]):
            self._found.append(pair)
            if pair.is_confirmed:
                self._groups.tie(pair.first, pair.second)

    def result(self) -> tuple[Pair, ...]:
        """Return the pairs found, the most similar first; what may be copies only where nothing better ties them."""
        kept = [p for p in self._found if p.is_confirmed or not self._groups.are_tied(p.first, p.second)]
        return tuple(sorted(kept, key=lambda pair: -pair.similarity))

    def _similar(self, pairs: LikelyPairs, origins: Positions) -> list[Pair]:
        firsts, seconds = self._look(pairs.first), self._look(pairs.second)
        worth = np.flatnonzero(self._first_look(firsts, seconds, pairs, origins) >= WORTH_ALIGNING)

        def compare(place: int) -> Pair | None:
            likeness, altered = LIKENESSES[pairs.likeness[place]], self._alterations[origins[place]]
            template = Canvas(likeness.undo(evened(seconds[place])), likeness.undo_place(self._weights))
            alignment = align(template, Canvas(evened(firsts[place]), self._weights), altered.map)
            if alignment.similarity < SUSPECTED:
                return None
            moved = alignment.shift_px(altered.map if altered.words else AS_IT_IS.map) > _MOVED_PX
            first, second = sorted((int(pairs.first[place]), int(pairs.second[place])))
            return Pair(first, second, alignment.similarity, _kind(likeness, altered, moved))

        return [pair for pair in map_ordered(compare, worth.tolist()) if pair is not None]

    def _first_look(
        self, firsts: NDArray[np.uint8], seconds: NDArray[np.uint8], pairs: LikelyPairs, origins: Positions
    ) -> Floats:
        """Return how alike the pairs are block by block (P), each altered as its fingerprint says."""
        moving = reduced(firsts)
        for number in np.unique(origins[origins > 0]):
            chosen = origins == number
            moving[chosen] = self._alterations[number].apply(moving[chosen])
        still = seconds.copy()
        for number in np.unique(pairs.likeness[pairs.likeness > 0]):
            chosen = pairs.likeness == number
            still[chosen] = LIKENESSES[number].undo_all(still[chosen])
        return likeness_of_blocks(moving, reduced(still))


def _kind(likeness: Likeness, altered: Altered, moved: bool) -> str:
    """Return in words what differs."""
    words = [likeness.words, altered.words, "cropped, moved or turned" if moved else ""]
    return ", ".join(filter(None, words)) or "saved or brightened anew"
