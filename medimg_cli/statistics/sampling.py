"""How the images of an evaluation were sampled, from which its intervals follow.

Images of one patient are alike. Where a patient has several, patients are drawn with all their images (clustered
bootstrap: Field CA, Welsh AH. J R Stat Soc B 2007;69:369-390); else images are drawn as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from medimg_cli.statistics.intervals import LEVEL, REPLICATES, ROUNDING, score_interval

_MOST_DRAWS = 40_000_000  # units times replicates; beyond, fewer replicates are drawn
_FEWEST_REPLICATES = 200
_CHUNK = 100


class Sampling:
    """N images, the patients they are of, and replicates of them, drawn with a fixed seed.

    Args:
        patients: (N,) ids or numbers, None where patients are not known.
        n: N.
        exact: intervals of independent proportions are Clopper and Pearson's instead of Wilson's.
        seed: of the draws.
    """

    def __init__(
        self,
        patients: Sequence[str] | NDArray[np.int64] | None,
        n: int,
        *,
        exact: bool = False,
        seed: int = 0,
    ) -> None:
        self.n, self.exact, self.seed = n, exact, seed
        self._known = patients is not None
        numbers = patients if isinstance(patients, np.ndarray) else np.asarray(patients, dtype=object)
        codes = pd.factorize(numbers)[0] if self._known else np.arange(n)
        self._units = codes.astype(np.int64)
        self.units = int(codes.max()) + 1 if n else 0

    @property
    def clustered(self) -> bool:
        """Return whether some patient has several images."""
        return self.units < self.n

    @property
    def unit(self) -> str:
        """Return what is drawn: "patient" or "image"."""
        return "patient" if self.clustered else "image"

    @property
    def unit_of(self) -> NDArray[np.int64]:
        """Return the unit (N,) of each image, 0..units − 1."""
        return self._units

    def by_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (N,) or (N, F) summed by unit: (units,) or (units, F)."""
        if not self.clustered:
            return values
        summed: NDArray[np.float64]
        if values.ndim == 1:
            summed = np.bincount(self._units, weights=values, minlength=self.units).astype(np.float64)
            return summed
        summed = (
            csr_matrix((np.ones(self.n), (self._units, np.arange(self.n))), shape=(self.units, self.n))
            @ values
        )
        return summed

    def variance(self, influence: NDArray[np.float64], units: int | None = None) -> float:
        """Return the variance of a figure from what each image (N,) adds to its error, summed by unit.

        Args:
            units: that the figure is of, where these are not all.
        """
        by_unit, count = self.by_unit(influence), units or self.units
        return float(by_unit @ by_unit) * count / max(1, count - 1)

    def share_interval(self, right: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the interval of the share of images (N,) for which something holds, by patient; 0..1 from one patient.

        The variance is that of a ratio of sums over patients, Student's distribution takes the place of the normal one.
        """
        share = float(right.mean())
        if self.units < 2:
            return 0.0, 1.0
        variance = self.variance((right - share) / self.n)
        if (
            variance <= ROUNDING
        ):  # all patients are alike, maybe by chance: as of so many images, no variance to doubt
            return score_interval(share, share * (1 - share) / self.units, self.units)
        return score_interval(share, variance, self.units, units=self.units, most=self.n)

    def units_among(self, rows: NDArray[np.bool_]) -> int:
        """Return how many units the marked images (N,) are of."""
        return int(rows.sum()) if not self.clustered else different(self._units[rows], self.units)

    def nothing_from(self, units: int, of: str = "") -> str:
        """Return why so few units give no interval, "" where they are enough: what one has in common nobody can tell."""
        named = "patient" if self._known else "image"
        return f"one {named}{of}: how {named}s differ cannot be told from it" if units == 1 else ""

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Sampling":
        """Return the sampling of some of the images."""
        patients = self._units[rows] if self._known else None
        n = int(rows.sum()) if rows.dtype == np.bool_ else len(rows)
        return Sampling(patients, n, exact=self.exact, seed=self.seed)

    def tables(self, cells: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Return how many images fall into each cell, replicate by replicate.

        Drawing independent images is the same as drawing the cells' counts from the multinomial with the observed
        shares, and far faster.

        Args:
            cells: (N,), 0..count − 1.

        Returns:
            (B, count), B replicates.
        """
        if not self.n:
            return np.zeros((REPLICATES, count))
        if not self.clustered:
            shares = np.bincount(cells, minlength=count) / self.n
            drawn = np.random.default_rng(self.seed).multinomial(self.n, shares, size=REPLICATES)
            return drawn.astype(np.float64)
        ones = np.ones(self.n)
        by_cell = csr_matrix((ones, (cells, self._units)), shape=(count, self.units))
        # A sparse product: no threads of BLAS, which wait for one another on a busy machine.
        starts = range(0, len(self._draws), _CHUNK)
        return np.concatenate(
            [(by_cell @ self._draws[start : start + _CHUNK].astype(np.float64).T).T for start in starts]
        )

    @cached_property
    def _draws(self) -> NDArray[np.uint16]:
        """Return how often each unit is drawn (B, units)."""
        replicates = int(np.clip(_MOST_DRAWS // max(1, self.units), _FEWEST_REPLICATES, REPLICATES))
        generator = np.random.default_rng(self.seed)
        drawn = np.empty((replicates, self.units), dtype=np.uint16)
        for row in drawn:
            row[:] = np.bincount(generator.integers(0, self.units, self.units), minlength=self.units)
        return drawn


def different(places: NDArray[np.int64], count: int) -> int:
    """Return how many of 0..count − 1 occur; `np.unique` takes twenty times as long."""
    there = np.zeros(count, dtype=bool)
    there[places] = True
    return int(there.sum())


def sampling_of(table: pd.DataFrame, *, known: bool, exact: bool = False) -> Sampling:
    """Return how the images of a table were sampled.

    Args:
        table: column patient_id, N rows.
        known: patients are known; else each image counts as one.
    """
    return Sampling(table["patient_id"].tolist() if known else None, len(table), exact=exact)


def percentiles(replicates: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the percentile interval of replicates (B,); NaN marks those in which a figure is undefined.

    Returns:
        None where most of them are undefined, or all are the same: without a single error every replicate is
        perfect, which says nothing about how wide the interval is.
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) <= len(replicates) // 2:
        return None
    low, high = np.quantile(known, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return (float(low), float(high)) if low < high else None


def bootstrap_of(unit: str, replicates: int) -> str:
    """Return the name of a bootstrap interval.

    >>> bootstrap_of("patient", 2000)
    'bootstrap of patients, 2,000 replicates'
    """
    return f"bootstrap of {unit}s, {replicates:,} replicates"


_MOST = 256


@dataclass(frozen=True)
class ScoreLevels:
    """How many negatives and positives have a score on each of L levels, the lowest first.

    Args:
        exact: each distinct score is a level of its own.
        counts: (1, L, 2), negatives and positives.
        packed: (B, L, 2), replicates of them, in as few bytes as they need.
    """

    exact: bool
    counts: NDArray[np.float64]
    packed: NDArray[np.unsignedinteger]

    @property
    def drawn(self) -> NDArray[np.float64]:
        """Return the replicates (B, L, 2)."""
        return self.packed.astype(np.float64)


def score_levels(truth: NDArray[np.bool_], score: NDArray[np.float64], sampling: Sampling) -> ScoreLevels:
    """Return the counts on at most 256 levels, which rise with the score.

    Args:
        truth: (N,), True where the reference standard says positive; N at least 1.
        score: (N,); each distinct one has its level, or 256 levels have as many images each.
        sampling: of the N images.
    """
    level, exact = _levels(score)
    count = int(level.max()) + 1
    cells = level * 2 + truth
    drawn = sampling.tables(cells, 2 * count).reshape(-1, count, 2)
    here = np.bincount(cells, minlength=2 * count).reshape(1, count, 2).astype(np.float64)
    return ScoreLevels(exact, here, drawn.astype(np.min_scalar_type(int(drawn.max()))))


def _levels(score: NDArray[np.float64]) -> tuple[NDArray[np.int64], bool]:
    """Return levels (N,) without a gap, and whether each distinct score has its own."""
    distinct, level = np.unique(score, return_inverse=True)
    if len(distinct) <= _MOST:
        return level.astype(np.int64), True
    edges = np.quantile(score, np.linspace(0, 1, _MOST + 1)[1:-1])
    grouped = np.searchsorted(edges, score, side="right")
    return np.unique(grouped, return_inverse=True)[1].astype(np.int64), False
