"""One trait of every image of a data set, and what kind of thing it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medimg_cli.audit.shortcuts.binning import Binned, bin_numbers, bin_texts

# picture: how the pixels are stored and shaped · edge: border and corners · content: brightness and the like, which
# may be the disease itself · origin: device, place, date · patient: age, sex · name: how files are called ·
# column: any other column of the manifest
TraitKind = Literal["picture", "edge", "content", "origin", "patient", "name", "column"]


@dataclass(frozen=True)
class Trait:
    """One trait of N images.

    Args:
        title: what a message calls it.
        kind: see `TraitKind`.
        values: (N,) numbers, NaN where not known, or texts, "" where not known.
        hidden: its values may name a person or a place and are never shown.
    """

    title: str
    kind: TraitKind
    values: NDArray[np.float64] | Sequence[str]
    hidden: bool = False

    @property
    def numbers(self) -> NDArray[np.float64] | None:
        """Return the values where all of them are known numbers, else None."""
        if isinstance(self.values, np.ndarray) and bool(np.isfinite(self.values).all()):
            return self.values
        return None

    def binned(self) -> Binned:
        """Return the bin of every image; of a hidden trait the bins have numbers for names."""
        found = bin_numbers(self.values) if isinstance(self.values, np.ndarray) else bin_texts(self.values)
        if not self.hidden:
            return found
        return Binned(found.codes, (*found.names[:2], *_numbered(len(found.names) - 2)))


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"value {number + 1}" for number in range(count))
