"""A logistic regression on what stands beside the pixels: age, site, size of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from medimg_cli.audit.shortcuts.set_differences import OfTwoSets, Values

Floats = NDArray[np.float64]
MOST_LEVELS = 20
_MOST_ROWS = 20_000
_DECIMALS = 9  # rows that are alike get scores that are alike, whatever order sums are taken in


@dataclass(frozen=True)
class Features:
    """Numbers a regression can use.

    Args:
        names: of the properties they come from.
        training, here: (M, F) and (N, F), standardised by training.
    """

    names: tuple[str, ...]
    training: Floats
    here: Floats


def seen(values: Values, rows: NDArray[np.int64]) -> int:
    """Return how many different values some rows hold; not known counts as one."""
    return int(pd.Series(values).iloc[rows].nunique(dropna=False))


def features_of(columns: Sequence[OfTwoSets], learnt: NDArray[np.int64]) -> Features:
    """Return standardised numbers and one column for each level of a category, what is not known apart.

    Args:
        columns: properties of M and N images.
        learnt: rows of training that are learnt from; they alone set scales and levels.
    """
    pairs = [_numbers(each, learnt) if _is_number(each) else _levels(each, learnt) for each in columns]
    sides = [np.concatenate(side, axis=1) for side in zip(*pairs, strict=True)]
    training, here = sides or (np.empty((0, 0)), np.empty((0, 0)))
    return Features(tuple(each.name for each in columns), training, here)


def _is_number(each: OfTwoSets) -> bool:
    return isinstance(each.training, np.ndarray)


def _numbers(each: OfTwoSets, learnt: NDArray[np.int64]) -> tuple[Floats, Floats]:
    training, here = (np.asarray(side, dtype=np.float64) for side in (each.training, each.here))
    known = training[learnt][np.isfinite(training[learnt])]
    centre, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)

    def scaled(side: Floats) -> Floats:
        missing = ~np.isfinite(side)
        standard = np.where(missing, 0.0, (side - centre) / (scale or 1.0))
        return np.stack([standard, missing.astype(np.float64)], axis=1)

    return scaled(training), scaled(here)


def _levels(each: OfTwoSets, learnt: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return one column for each of the commonest levels; rarer and new ones have none of their own."""
    counts = pd.Series(list(each.training), dtype=object).iloc[learnt].value_counts()
    ranked = sorted(counts.index, key=lambda level: (-int(counts[level]), str(level)))
    levels = np.array(ranked[:MOST_LEVELS], dtype=object)

    def marked(side: Values) -> Floats:
        values = np.array(list(side), dtype=object)
        return np.asarray(values[:, None] == levels, dtype=np.float64)

    return marked(each.training), marked(each.here)


def answers_of(
    features: Features, truth: NDArray[np.int64], learnt: NDArray[np.int64], outcomes: int
) -> tuple[Floats, Floats]:
    """Fit on training and return the probabilities of the rows learnt from (L, outcomes) and of here (N, outcomes).

    Args:
        truth: (M,) outcomes 0..outcomes − 1.
        learnt: which rows of training to use; of more than 20,000 a part, drawn with a fixed seed, is fitted.
    """
    rows = learnt
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_ROWS, replace=False))
    model = LogisticRegression(max_iter=2000).fit(features.training[rows], truth[rows])

    def answer(side: Floats) -> Floats:
        found = np.zeros((len(side), outcomes))
        found[:, model.classes_] = np.round(model.predict_proba(side), _DECIMALS)
        return found

    return answer(features.training[learnt]), answer(features.here)
