"""What the pictures of a cohort have in common: which way is up, and which is bright."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.measurements.thumbnails import SIDE_PX

Pictures = Callable[[Sequence[str]], NDArray[np.uint8]]
Floats = NDArray[np.float32]

_FEWEST_IMAGES = 10
_SIDE_PX = 32  # coarse enough that another anatomy is not another layout
_REDUCED = SIDE_PX // _SIDE_PX
_SAMPLE = 2048
_BLOCK = 4096  # pictures in memory at once: 38 MB
# Measured: medians of r are .86 on 5,840 chest X-rays, .75 on 780 breast ultrasounds, about .1 on smooth noise.
_COMMON_R = 0.5
# Chest X-rays fit 0.17 better upright than turned (median); a round field of view not at all.
_TELLING_GAP = 0.08
_INVERTED_R = -0.3
# Share of the cohort's own median gap that a picture must fit better turned. At 0.25, of 5,840 chest X-rays
# 0.1 % pass as they are, and 97 % when they are turned.
_TURNED_SHARE = 0.25
_MOST = 0.5


# Ultrasound, endoscopy, microscopy and photographs (DICOM PS3.3 C.7.3.1.1.1): which way is up is the examiner's choice.
_NO_UP_MODALITIES = frozenset(("US", "IVUS", "BI", "ES", "GM", "SM", "XC"))
_NO_UP = re.compile(
    "ultraso|sonogra|echo(?:card|gra)|busi|derm|isic|ham10000|melano|histo|blood.?(?:cell|film|smear)|smear|cyto|microscop|wbc",
    re.IGNORECASE,
)


def why_no_up(rows: pd.DataFrame, names: Sequence[str]) -> str:
    """Return why pictures of such a kind have no up, "" where nothing speaks against one.

    Radiographs, CT and MR are grey; what is in colour is skin, tissue, cells or the inside of somebody.

    Args:
        rows: usable manifest rows; a column `modality` counts where there is one.
        names: of the sources and classes.
    """
    column = next((name for name in rows if str(name).lower() == "modality"), None)
    modalities = rows[column].astype(str).str.upper() if column is not None else pd.Series(dtype=str)
    if len(modalities) and modalities.isin(_NO_UP_MODALITIES).mean() > _MOST:
        return f"modality {modalities.mode().iloc[0]} has no up"
    if len(rows) and (rows["channels"] > 1).mean() > _MOST:
        return "pictures in colour have no up"
    named = next((name for name in names if _NO_UP.search(name)), None)
    return f"'{named}' names pictures without an up" if named else ""


@dataclass(frozen=True)
class CommonLayout:
    """How well each picture fits the median picture of all.

    Args:
        upright: correlation (N,) with the median picture, -1..1; 0 for a picture of one value.
        turned: the higher of those with it upside-down: flipped, or turned by 180 degrees.
    """

    upright: Floats
    turned: Floats

    @property
    def r(self) -> float:
        """Return the median correlation, 0 for too few pictures."""
        return float(np.median(self.upright)) if len(self.upright) >= _FEWEST_IMAGES else 0.0

    @property
    def gap(self) -> float:
        """Return how much better the median picture fits upright than turned."""
        return float(np.median(self.upright - self.turned)) if len(self.upright) >= _FEWEST_IMAGES else 0.0

    @property
    def is_common(self) -> bool:
        """Return whether there is a layout that most pictures share."""
        return self.r >= _COMMON_R

    @property
    def tells_up(self) -> bool:
        """Return whether the layout looks different upside-down."""
        return self.is_common and self.gap >= _TELLING_GAP

    def inverted(self) -> NDArray[np.bool_]:
        """Return which pictures (N,) are a negative of the layout, better than a turned positive."""
        if not self.is_common:
            return np.zeros(len(self.upright), dtype=np.bool_)
        return (self.upright < _INVERTED_R) & (-self.upright > self.turned)

    def upside_down(self) -> NDArray[np.bool_]:
        """Return which pictures (N,) fit clearly better turned."""
        if not self.tells_up:
            return np.zeros(len(self.upright), dtype=np.bool_)
        return (self.turned - self.upright > _TURNED_SHARE * self.gap) & ~self.inverted()


def fit_common_layout(image_ids: Sequence[str], pictures: Pictures) -> CommonLayout:
    """Return how images fit the layout they share; a few that do not share it leave the median as it is.

    Args:
        image_ids: (N,), none of them blank.
        pictures: image ids → (n, SIDE_PX, SIDE_PX), as `Thumbnails.of` returns them; asked for in blocks.
    """
    if not image_ids:
        return CommonLayout(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))
    step = -(-len(image_ids) // _SAMPLE)
    median = np.median(_standardised(pictures(image_ids[::step])), axis=0)
    median = median.reshape(_SIDE_PX, _SIDE_PX)
    views = np.stack([median, median[::-1], median[::-1, ::-1]]).reshape(3, -1)
    views = _to_unit(views)
    fits = np.concatenate(
        [
            _standardised(pictures(image_ids[start : start + _BLOCK])) @ views.T
            for start in range(0, len(image_ids), _BLOCK)
        ]
    )
    return CommonLayout(fits[:, 0], fits[:, 1:].max(axis=1))


def _standardised(pictures: NDArray[np.uint8]) -> Floats:
    """Return pictures as vectors (N, `_SIDE_PX`²) of mean 0 and length 1, 0 for those of one value."""
    reduced = np.zeros((len(pictures), _SIDE_PX, _SIDE_PX), dtype=np.float32)
    for row in range(_REDUCED):
        for column in range(_REDUCED):
            reduced += pictures[:, row::_REDUCED, column::_REDUCED]
    return _to_unit(reduced.reshape(len(pictures), -1))


def _to_unit(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))
