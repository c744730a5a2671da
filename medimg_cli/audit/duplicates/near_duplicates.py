"""Pictures that show the same and are not equal: copies that were saved, brightened, cropped, turned or mirrored.

Likely pairs are found by fingerprints (`audit.duplicates.near_duplicates`), the likeliest are laid onto each other and compared in
their fine structure (`audit.duplicates.alignment`). On 5,840 chest X-rays, 17 million pairs, one pair of files that are not equal
pixel by pixel came to 0.95, one exposure processed twice; the next, two exposures of one child, to 0.83. Copies made
on purpose stayed above 0.90 but for a few in a hundred turned by five degrees.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

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
    FREQUENCIES,
    LIKENESSES,
    REDUCED_PX,
    Fingerprints,
    Floats,
    Likeness,
    Positions,
    ThumbnailReader,
    Weighing,
    parts,
    reduced,
    transform,
)
from medimg_cli.audit.duplicates.likely_pairs import Cells, LikelyPairs, join, likely_pairs
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
        roots = np.array([self.root(position) for position in range(len(self._parents))], dtype=np.int64)
        order = np.argsort(roots, kind="stable")
        begins = np.flatnonzero(np.diff(roots[order], prepend=-1))
        ends = np.r_[begins[1:], len(order)]
        several = ends - begins > 1
        pairs = zip(begins[several], ends[several], strict=True)
        return sorted(order[begin:end].tolist() for begin, end in pairs)


CONFIRMED = 0.90
"""Similarity from which two pictures are copies of one."""
SUSPECTED = 0.85
"""Similarity from which they may be."""
SMALL_SET = 20_000
"""Up to this many pictures, turned ones are searched for too, and less likely pairs are compared."""
LARGE_SET = 100_000
"""From so many pictures on, a picture is compared with those of the likeliest cells alone."""
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
    pairs, origins, flat = _candidates(look, count)
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
    return NearDuplicates(search.result(), search.compared, search.passed_over, flat)


def _candidates(look: ThumbnailReader, count: int) -> tuple[LikelyPairs, Positions, int]:
    """Return each likely pair once, the number of the alteration under which it is likeliest, and how many pictures are flat.

    No coefficients of a set that is not small are kept, and its fingerprints in half precision.
    """
    is_small = count <= SMALL_SET
    small = reduced(look(np.arange(count))) if is_small else None
    plain = transform()
    flat = np.zeros(count, dtype=np.bool_)

    def pictures(part: slice) -> Floats:
        return reduced(look(np.arange(count)[part])) if small is None else small[part]

    def coefficients(part: slice) -> Floats:
        found = pictures(part) @ plain
        flat[part] = np.linalg.norm(found[:, 1:], axis=1) < _FLAT
        found[flat[part]] = 0
        return found

    weighing = Weighing(coefficients(part) for part in parts(count))

    def fingerprints(part: slice, change: Floats) -> Fingerprints:
        found = pictures(part) @ change
        found[flat[part]] = 0
        return weighing.fingerprints(found)

    values = np.empty((count, FREQUENCIES**2 - 1), dtype=np.float32 if count < LARGE_SET else np.float16)
    keys = np.empty((count, FREQUENCIES**2 // 4 - 1), dtype=np.float32)
    for part in parts(count):
        one = fingerprints(part, plain)
        values[part], keys[part] = one.values, one.keys
    known, cells = Fingerprints(values, keys), Cells(keys) if count >= LARGE_SET else None
    floor, floor_altered = _FLOORS if is_small else _FLOORS_LARGE
    found = [likely_pairs(known, floor=floor, cells=cells)]
    for altered in _alterations(count)[1:]:
        changed = partial(fingerprints, change=transform(altered.reduced))
        found.append(likely_pairs(known, changed, floor=floor_altered, cells=cells))
    origins = np.repeat(np.arange(len(found)), [len(part) for part in found])
    pairs = join(found)
    del values, keys, known, cells, found
    names = np.minimum(pairs.first, pairs.second).astype(np.int64) * count + np.maximum(
        pairs.first, pairs.second
    )
    order = np.lexsort((-pairs.score, names))
    kept = order[np.unique(names[order], return_index=True)[1]]
    return pairs.take(kept), origins[kept], int(flat.sum())


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
        firsts, seconds = self._look(pairs.first.astype(np.int64)), self._look(pairs.second.astype(np.int64))
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
