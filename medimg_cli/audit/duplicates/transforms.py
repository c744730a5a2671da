"""Ways in which copies are altered so much that their fingerprints differ: pictures are altered so to be found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.audit.duplicates.alignment import about_centre, warped
from medimg_cli.audit.duplicates.fingerprint import Floats, Look, Positions


@dataclass(frozen=True)
class Altered:
    """A way to alter every picture before it is compared with the others.

    Args:
        words: what was done to the copy it finds.
        map: (2, 3), places (x, y, 1) of the altered picture → places of the picture.
    """

    words: str
    map: Floats

    def look(self, at: Look) -> Look:
        """Return what shows the pictures of `at` altered."""

        def altered(positions: Positions) -> NDArray[np.uint8]:
            return np.stack([warped(picture, self.map) for picture in at(positions)]).astype(np.uint8)

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
