"""What the header of a JPEG says about how strongly, and in which way, it was compressed."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# The luminance table of ITU-T T.81, Table K.1, which most encoders scale by a quality of 1..100.
_LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip


def _sums_by_quality() -> NDArray[np.int64]:
    """Return the sum of the scaled table for each quality 1..100, as libjpeg scales it (jcparam.c)."""
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = (_LUMINANCE[None, :] * scales[:, None] + 50) // 100
    sums: NDArray[np.int64] = tables.clip(1, 255).sum(axis=1)
    return sums


_SUMS = _sums_by_quality()


def estimated_quality(tables: Mapping[int, Sequence[int]]) -> float:
    """Return the quality 1..100 whose standard table is as coarse as the file's, NaN without a table.

    Sums are compared, so the order of the entries does not matter; encoders with tables of their own get the
    quality that is equally coarse.

    Args:
        tables: number of a quantisation table → its 64 entries, 0 the one of brightness.
    """
    if 0 not in tables:
        return float("nan")
    return float(np.argmin(np.abs(_SUMS - sum(tables[0]))) + 1)


def subsampling(layers: Sequence[Sequence[int]]) -> str:
    """Return how coarsely colour is kept (`4:4:4`, `4:2:2`, `4:2:0`, or the factors), "" for grey.

    Args:
        layers: per component: number, horizontal and vertical sampling factor (ITU-T T.81 B.2.2).
    """
    if len(layers) < 3:
        return ""
    across, down = layers[0][1] / layers[1][1], layers[0][2] / layers[1][2]
    known: dict[tuple[float, float], str] = {
        (1, 1): "4:4:4",
        (2, 1): "4:2:2",
        (2, 2): "4:2:0",
        (4, 1): "4:1:1",
    }
    return known.get((across, down), f"{across:g}x{down:g}")
