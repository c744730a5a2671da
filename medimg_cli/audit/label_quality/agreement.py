"""How well people agree on nominal labels: Cohen's and Fleiss' kappa with intervals by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.statistics.intervals import LEVEL, REPLICATES

_BATCH = 200
"""Replicates at once: patients × replicates in memory stay small."""


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance, at most 1.

    Args:
        value: NaN where only one label occurs.
        low, high: 95 % percentile interval, patients drawn with replacement; NaN where there is none.
        images: with two labels or more, which alone tell anything.
    """

    value: float
    low: float
    high: float
    images: int


def cohen(first: Sequence[str], second: Sequence[str], patients: Sequence[str]) -> Kappa:
    """Return the kappa of two readers (N,) over the images both labelled; "" = not labelled.

    Cohen J. Educ Psychol Meas 1960;20:37-46.
    """
    a, b = np.asarray(first, dtype=object), np.asarray(second, dtype=object)
    both = (a != "") & (b != "")
    names = sorted({*a[both], *b[both]})
    size = len(names)
    codes = {name: code for code, name in enumerate(names)}
    cells = np.array([codes[x] * size + codes[y] for x, y in zip(a[both], b[both], strict=True)], dtype=int)
    tables = np.zeros((len(cells), size * size))
    tables[np.arange(len(cells)), cells] = 1

    def kappas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        table = sums.reshape(-1, size, size)
        n = table.sum(axis=(1, 2))
        observed = np.trace(table, axis1=1, axis2=2) / n
        chance = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / n**2
        return _beyond_chance(observed, chance)

    return _with_interval(tables, np.asarray(patients, dtype=object)[both], kappas)


def fleiss(ratings: Sequence[Sequence[str]], patients: Sequence[str]) -> Kappa:
    """Return the kappa of any number of readers over the images with two labels or more; "" = not labelled.

    Fleiss JL. Psychol Bull 1971;76:378-382. Readers may be missing: each image counts with the share of its
    own pairs that agree, and the frequency of a label is the mean of its share in each image.

    Args:
        ratings: (N, readers).
    """
    table = np.asarray(ratings, dtype=object).reshape(len(ratings), -1)
    given = (table != "").sum(axis=1)
    kept = given >= 2
    table, given = table[kept], given[kept]
    names = sorted(set(table.ravel()) - {""})
    counts = np.stack([(table == name).sum(axis=1) for name in names], axis=1) if names else np.zeros((0, 0))
    agreeing = (counts * (counts - 1)).sum(axis=1) / (given * (given - 1))
    shares = counts / given[:, None]
    rows = np.column_stack([np.ones(len(counts)), agreeing, shares]).astype(np.float64)

    def kappas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n = sums[:, 0]
        return _beyond_chance(sums[:, 1] / n, ((sums[:, 2:] / n[:, None]) ** 2).sum(axis=1))

    return _with_interval(rows, np.asarray(patients, dtype=object)[kept], kappas)


def _with_interval(
    rows: NDArray[np.float64],
    patients: NDArray[np.object_],
    kappas: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Kappa:
    """Return the kappa of the sum of `rows` (N, D), and its spread over sums of drawn patients, seed fixed."""
    if not len(rows):
        return Kappa(float("nan"), float("nan"), float("nan"), 0)
    value = float(kappas(rows.sum(axis=0)[None])[0])
    names, owner = np.unique(patients.astype(str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, owner, rows)
    generator = np.random.default_rng(0)
    shares = np.full(len(names), 1 / len(names))
    drawn = [
        kappas(generator.multinomial(len(names), shares, size=_BATCH) @ sums)
        for _ in range(REPLICATES // _BATCH)
    ]
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    # Where all agree every replicate does: that says nothing about how wide the interval is.
    if len(values) < REPLICATES // 2 or values.min() == values.max():
        return Kappa(value, float("nan"), float("nan"), len(rows))
    low, high = np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Kappa(value, float(low), float(high), len(rows))


def _beyond_chance(observed: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (observed - chance) / (1 - chance), NaN where chance alone agrees always."""
    room = 1 - chance
    result = np.full(len(observed), np.nan)
    np.divide(observed - chance, room, out=result, where=room > 1e-12)
    return result
