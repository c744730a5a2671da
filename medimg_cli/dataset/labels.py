"""Classes: their order, their spelling, and which of them is the disease."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import did_you_mean

LABEL_SEP = "|"
"""What stands between several labels of one image in a manifest."""

_HEALTHY = frozenset(
    "normal healthy negative neg benign control controls none no no_finding nofinding absent 0".split()
)


def natural_order(names: Iterable[str]) -> list[str]:
    """Return distinct names sorted as people do: numbers inside names count as numbers.

    >>> natural_order(["10", "9", "b", "1"])
    ['1', '9', '10', 'b']
    """

    def key(name: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = [part for part in re.split(r"(\d+)", name) if part]
        # The name itself last: "1" and "01" are one number, and a set has no order of its own.
        return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name

    return sorted(set(names), key=key)


def parts_of(label: str) -> tuple[str, ...]:
    """Return the classes of a manifest's label; none for an image without finding.

    >>> parts_of("edema|mass"), parts_of("")
    (('edema', 'mass'), ())
    """
    return tuple(label.split(LABEL_SEP)) if label else ()


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a data set.

    Args:
        classes: names in the order of every probability vector (C,).
        positive: the disease class, whose missed cases are the costly error, or several ("A,B") that are the disease
            together: P(positive) is the sum of theirs. None when not stated.
        several: an image may carry several of the classes, or none.
    """

    classes: tuple[str, ...]
    positive: str | None = None
    several: bool = False

    def __post_init__(self) -> None:
        named = self.positives or ((self.positive,) if self.positive is not None else ())
        wrong = next((name for name in named if name not in self.classes), None)
        if wrong is not None:
            raise UsageError(
                f"positive class '{wrong}' is not one of the classes", did_you_mean(wrong, self.classes)
            )
        if len(self.positives) > 1 and (self.several or set(self.positives) == set(self.classes)):
            why = (
                "several labels an image have one threshold each"
                if self.several
                else "no class is left for the others"
            )
            raise UsageError(f"--positive {self.positive}: {why}", "name fewer classes")
        if self.positives:  # "A, B" and "A,B,A" are one positive class, of one name in every file
            object.__setattr__(self, "positive", ",".join(self.positives))

    @cached_property
    def positives(self) -> tuple[str, ...]:
        """Return the classes that `positive` names, none when it is not stated; a class may have a comma in its name."""
        if self.positive is None or self.positive in self.classes:
            return () if self.positive is None else (self.positive,)
        return tuple(dict.fromkeys(name.strip() for name in self.positive.split(",") if name.strip()))

    @cached_property
    def is_positive(self) -> NDArray[np.bool_]:
        """Return (C,), True for the positive classes."""
        return np.array([name in self.positives for name in self.classes])

    def positive_score(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(positive) (N,) of probabilities (N, C): added up in the order of the classes, by every caller alike."""
        first, *others = np.flatnonzero(self.is_positive)
        score: NDArray[np.float64] = probabilities[:, first]
        for index in others:
            score = score + probabilities[:, index]
        return score

    @property
    def positive_index(self) -> int | None:
        """Return the column of the positive class, of several the first, or None."""
        return None if self.positive is None else self.classes.index(self.positives[0])

    def encode(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return class indices (N,) of `labels`.

        Raises:
            DataError: a label is not one of the classes.
        """
        index = {name: position for position, name in enumerate(self.classes)}
        unknown = next((label for label in labels if label not in index), None)
        if unknown is not None:
            raise DataError(
                f"label '{unknown}' is not one of the classes", did_you_mean(unknown, self.classes)
            )
        return np.array([index[label] for label in labels], dtype=np.int64)

    def marks(self, labels: Sequence[str], unknown: Sequence[str] = ()) -> NDArray[np.float32]:
        """Return (N, C): 1 for a class an image carries, 0 for another, NaN for one that nobody judged.

        Args:
            labels: `a|b` of each image, "" for none of the classes.
            unknown: likewise the classes nobody judged; a class that is in both is carried. Empty = all were judged.

        Raises:
            DataError: a label is not one of the classes.
        """
        marks = np.zeros((len(labels), len(self.classes)), dtype=np.float32)
        for cells, value in ((unknown, np.nan), (labels, 1.0)):
            for row, cell in enumerate(cells):
                marks[row, self.encode(parts_of(cell))] = value
        return marks


def guess_positive(classes: Sequence[str]) -> str | None:
    """Return the disease class when exactly one of two classes is plainly the healthy one, else None.

    >>> guess_positive(["NORMAL", "PNEUMONIA"])
    'PNEUMONIA'
    """
    if len(classes) != 2:
        return None
    healthy = [name for name in classes if _is_healthy(name)]
    return next(name for name in classes if name not in healthy) if len(healthy) == 1 else None


def _is_healthy(name: str) -> bool:
    """Return whether every part of a name such as "normal, benign" is a word for no disease."""
    parts = [part.strip().lower().replace(" ", "_") for part in re.split(r"[,/]", name)]
    return all(part in _HEALTHY for part in parts)
