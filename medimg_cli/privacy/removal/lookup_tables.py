"""Lookup tables of a DICOM file: colours that no pixel names may hold anything, and greys that jump about are letters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from medimg_cli.privacy.dicom.header_texts import PIXEL_DATA, put
from medimg_cli.privacy.removal.profile import CannotDeidentify

PALETTES = {0x00281201 + number: 0x00281101 + number for number in range(4)}
"""Palette data (red, green, blue, alpha) → its descriptor."""
_JITTER = 1.001


def clear_unused_colours(dataset: Dataset) -> None:
    """Put zeros for the colours of a palette that no pixel names, in place; a palette without descriptor goes.

    Raises:
        CannotDeidentify: the pixels cannot be decoded.
    """
    for tag in [tag for tag, named in PALETTES.items() if tag in dataset and named not in dataset]:
        del dataset[tag]
    palettes = [tag for tag in PALETTES if tag in dataset]
    if palettes and PIXEL_DATA in dataset:
        try:
            values = np.unique(dataset.pixel_array)
        except Exception as error:  # decoders raise what they like
            raise CannotDeidentify("a palette, and pixels that no decoder here reads") from error
        for tag in palettes:
            _clear(dataset, tag, values)


def _clear(dataset: Dataset, tag: int, values: NDArray[Any]) -> None:
    element, named = dataset.get_item(tag), dataset[PALETTES[tag]].value
    held = element.value if isinstance(element.value, bytes) else b""
    count = int(named[0]) % (1 << 16) or 1 << 16
    wide = entry_bytes(count, len(held))
    cells = np.frombuffer(held[: min(count, len(held) // wide) * wide], f"<u{wide}").copy()
    unused = np.ones(len(cells), bool)
    unused[np.clip(values.astype(np.int64) - int(named[1]), 0, len(cells) - 1)] = False
    cells[unused] = 0
    put(dataset, tag, "OW", cells.tobytes() + bytes(len(cells) * wide % 2))


def entry_bytes(count: int, length: int) -> int:
    """Return bytes of an entry: those of 8 bits may be packed (PS3.3 C.7.6.3.1.6) or take 16 bits; the length tells."""
    return 1 if length <= count + 1 else 2


def jumps(table: bytes) -> bool:
    """Return whether greys of 8 or 16 bits go to and fro, in either byte order, as no table does that shows something.

    >>> jumps(np.arange(0, 4096, 4, dtype="<u2").tobytes()), jumps(b"M\\xe4rz^J\\xf6rg" + bytes(40))
    (False, True)
    """
    return all(
        _goes_to_and_fro(np.frombuffer(table[: len(table) // 2 * 2], kind)) for kind in ("u1", "<u2", ">u2")
    )


def _goes_to_and_fro(greys: NDArray[Any]) -> bool:
    steps = np.diff(greys.astype(np.int64))
    up = steps[steps != 0] > 0
    turns = int(np.count_nonzero(up[1:] != up[:-1]))
    return turns > 1 and int(np.abs(steps).sum()) > _JITTER * int(np.ptp(greys))
