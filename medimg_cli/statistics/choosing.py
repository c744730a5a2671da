"""Choosing one of several models by their answers on the same images."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DRAWS = 200


def bootstraps(groups: Sequence[str], of: NDArray[np.bool_], seed: int) -> list[NDArray[np.int64]]:
    """Return the places (M,) of whole groups drawn with repetition, of each of 200 draws.

    Args:
        groups: (N,), the patient of each image.
        of: (N,), which images are drawn from.
    """
    places = np.flatnonzero(of)
    members = list(pd.Series(places).groupby(np.asarray(groups)[places]).agg(list))
    generator = np.random.default_rng(seed)
    return [
        np.concatenate([members[each] for each in generator.integers(len(members), size=len(members))])
        for _ in range(DRAWS)
    ]


def behind_best(reached: NDArray[np.float64], drawn: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return the best model's figure less each model's own, and the standard error of that paired difference.

    Args:
        reached: (K,), on all images; higher is better.
        drawn: (K, B), on the same bootstraps.
    """
    best = int(np.nanargmax(reached))
    return [
        (float(reached[best] - each), float(np.nanstd(drawn[best] - own)))
        for each, own in zip(reached, drawn, strict=True)
    ]


def optimism_of_choosing(
    drawn: NDArray[np.float64],
    draws: Sequence[NDArray[np.int64]],
    figure: Callable[[int, NDArray[np.bool_]], float],
    count: int,
) -> float:
    """Return by how much the best model of a draw is better there than on the groups that the draw left out, in the mean.

    Tsamardinos, Greasidou, Borboudakis. Mach Learn 2018;107:1895-1922 (bootstrap bias corrected cross-validation).

    Args:
        drawn: (K, B), the figure of each model on each of `draws`.
        figure: (model, images (N,)) → its figure there.
        count: N.
    """
    gained = []
    for number, (best, draw) in enumerate(zip(np.nanargmax(drawn, axis=0), draws, strict=True)):
        out = np.ones(count, dtype=bool)
        out[draw] = False
        gained.append(drawn[best, number] - figure(int(best), out))
    return float(np.nanmean(gained))
