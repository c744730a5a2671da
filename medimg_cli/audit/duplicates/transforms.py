"""Ways in which copies are altered so much that their fingerprints differ: pictures are altered so to be found."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from medimg_cli.audit.duplicates.alignment import about_centre
from medimg_cli.audit.duplicates.fingerprint import REDUCED_PX, Floats
from medimg_cli.audit.measurements.thumbnails import SIDE_PX


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
    Altered("", about_centre(1, 4)),
    Altered("", about_centre(1, -4)),
    Altered("turned by a quarter", about_centre(1, 90)),
)
"""The first two find what was cropped and are cheap; the others are for sets that are not large."""
