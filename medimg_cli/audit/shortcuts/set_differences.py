"""What is known of two sets of images beside their pixels, such as those of training and those of a test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.shortcuts.column_traits import carried_traits

Values = NDArray[np.float64] | Sequence[str]
SIZES = {"width": "width (px)", "height": "height (px)"}
_STORED = {"channels": "channels", "bit_depth": "bit depth"}


@dataclass(frozen=True)
class OfTwoSets:
    """One property of both sets.

    Args:
        name: "width (px)", "age", "year in study_date".
        training, here: (M,) and (N,) numbers, NaN where not known, or texts, "" where not known.
        is_size: it is width or height.
        hidden: its values may name a person or a place and are never shown.
    """

    name: str
    training: Values
    here: Values
    is_size: bool = False
    hidden: bool = False

    @property
    def varies(self) -> bool:
        """Return whether the two sets together hold more than one value; not known is one."""
        both = [*self.training, *self.here]
        return len({"" if value != value else value for value in both}) > 1


def of_two_sets(training: pd.DataFrame, here: pd.DataFrame, classes: Sequence[str]) -> tuple[OfTwoSets, ...]:
    """Return size, storage and the carried columns that both tables have.

    Left out: identifiers, free text, and what holds labels (`audit.shortcuts.column_traits`).

    Args:
        training, here: manifest rows, or a table with other columns of its own.
        classes: names of the classes.
    """
    return (*_stored(training, here), *_carried(training, here, classes))


def same_images(training: pd.DataFrame, here: pd.DataFrame) -> bool:
    """Return whether most images of training are among the others too, known by the bytes of their files."""
    if "sha256" not in training or "sha256" not in here or training.empty:
        return False
    return bool(training["sha256"].isin(here["sha256"]).mean() > 0.5)


def _stored(training: pd.DataFrame, here: pd.DataFrame) -> Iterator[OfTwoSets]:
    for column, name in SIZES.items():
        if column in training and column in here:
            yield OfTwoSets(name, _sizes(training[column]), _sizes(here[column]), is_size=True)
    for column, name in _STORED.items():
        if column in training and column in here:
            yield OfTwoSets(name, training[column].astype(str).tolist(), here[column].astype(str).tolist())


def _sizes(cells: pd.Series) -> NDArray[np.float64]:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    return np.where(numbers > 0, numbers, np.nan)  # the manifest holds 0 where nobody knows


def _carried(training: pd.DataFrame, here: pd.DataFrame, classes: Sequence[str]) -> Iterator[OfTwoSets]:
    both = [column for column in training if column in here]
    joined = pd.concat([training[both], here[both]], ignore_index=True).fillna("")
    cut = len(training)
    for trait in carried_traits(joined, classes):
        name = trait.title.replace("column '", "").removesuffix("'")
        yield OfTwoSets(name, trait.values[:cut], trait.values[cut:], hidden=trait.hidden)
