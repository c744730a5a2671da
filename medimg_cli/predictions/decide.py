"""The only place where probabilities become decisions.

`predict`, `serve`, `evaluate`, `export --verify` and the report call `decide`; `examples/run_onnx.py` repeats its rule for
programs without medimg. A prediction table holds both results: `y_pred`, the class that the decision calls (the
confusion matrix is counted from it), and `decision`, positive or negative for the disease.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LABEL_SEP, LabelSpace
from medimg_cli.runs.run import Threshold

UNDECIDED = 0.5
"""Where a label is called that has no threshold of its own."""


@dataclass(frozen=True)
class Decided:
    """The decisions on N images.

    Args:
        calls: (N, C), True where a class is called; one class an image, of several labels any number.
        reached: (N,), True where P(positive) reaches its threshold; None where no threshold decides.
    """

    labels: LabelSpace
    calls: NDArray[np.bool_]
    reached: NDArray[np.bool_] | None

    @property
    def called(self) -> NDArray[np.int64]:
        """Return the index (N,) of the class that is called, of one label an image."""
        called: NDArray[np.int64] = self.calls.argmax(axis=1)
        return called

    @property
    def names(self) -> list[str]:
        """Return `y_pred` (N,): the called class, of several labels all of them joined as a manifest does, "" for none."""
        classes = self.labels.classes
        if not self.labels.several:
            return [classes[index] for index in self.called]
        return [joined(row, classes) for row in self.calls]

    @property
    def decisions(self) -> list[Literal["positive", "negative", ""]]:
        """Return `decision` (N,): positive, negative, or "" where no threshold decides."""
        if self.reached is None:
            return [""] * len(self.calls)
        return ["positive" if yes else "negative" for yes in self.reached]


def decide(
    probabilities: NDArray[np.float64],
    labels: LabelSpace,
    threshold: Threshold | None = None,
    thresholds: Mapping[str, Threshold] | None = None,
) -> Decided:
    """Return the decisions on N images.

    One label an image: positive when P(positive), the sum over the positive classes, is at least the threshold. The
    class called is the most probable of the positive classes where that is so, else of the others; without a threshold
    the most probable of all. Several labels: each whose probability is at least its own threshold, or 0.5 without one.

    Args:
        probabilities: (N, C), in the order of the classes.
        threshold: of one label an image.
        thresholds: of several labels, class → its own.
    """
    if labels.several:
        own = thresholds or {}
        edges = [own[name].value if name in own else UNDECIDED for name in labels.classes]
        return Decided(labels, probabilities >= np.array(edges), None)
    allowed, reached = np.ones(probabilities.shape, dtype=bool), None
    if threshold is not None and labels.positive is not None:
        reached = labels.positive_score(probabilities) >= threshold.value
        allowed = labels.is_positive[None, :] == reached[:, None]
    best = np.where(allowed, probabilities, -1.0).argmax(axis=1) if len(probabilities) else np.zeros(0, int)
    return Decided(labels, best[:, None] == np.arange(len(labels.classes)), reached)


def telling_decimals(probability: float, threshold: float, least: int) -> int:
    """Return with how many decimals a probability and its threshold read as different, `least` where they are the same.

    >>> telling_decimals(0.41996, 0.42, 3), telling_decimals(0.2, 0.42, 3), telling_decimals(0.42, 0.42, 3)
    (5, 3, 3)
    """
    apart = (n for n in range(least, 18) if f"{probability:.{n}f}" != f"{threshold:.{n}f}")
    return next(apart, least)


def joined(called: NDArray[np.bool_], classes: tuple[str, ...]) -> str:
    """Return the names of the called labels (C,) as a manifest holds them, "" for none."""
    return LABEL_SEP.join(name for name, yes in zip(classes, called, strict=True) if yes)
