"""Numbers of one class against the rest: a shelf, one file per metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg_cli.registry import Registry
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling, bootstrap_of, interval_of_share, percentiles
from medimg_cli.statistics.score_levels import ScoreLevels, score_levels

TN, FP, FN, TP = range(4)
"""Places of the four counts in a flat table of one class against the rest."""
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class OneVsRest:
    """One class seen as positive, all others as negative.

    Args:
        truth: (N,), True where the reference standard says this class.
        score: (N,), probability of this class, 0..1.
        called: (N,), True where the decision in force says this class.
        drawn_from: how the N images were sampled; None = each is a patient of its own.
    """

    truth: NDArray[np.bool_]
    score: NDArray[np.float64]
    called: NDArray[np.bool_]
    drawn_from: Sampling | None = None

    @property
    def n(self) -> int:
        return len(self.truth)

    @cached_property
    def sampling(self) -> Sampling:
        return self.drawn_from or Sampling(None, self.n)

    @property
    def _cells(self) -> NDArray[np.int64]:
        return self.truth.astype(np.int64) * 2 + self.called

    @property
    def table(self) -> NDArray[np.int64]:
        """Return [[TN, FP], [FN, TP]]."""
        return np.bincount(self._cells, minlength=4).reshape(2, 2)

    @cached_property
    def tables(self) -> NDArray[np.float64]:
        """Return replicates (B, 2, 2) of `table`."""
        return self.sampling.tables(self._cells, 4).reshape(-1, 2, 2)

    @cached_property
    def levels(self) -> ScoreLevels:
        """Return counts and replicates of the scores on at most 256 levels, for what depends on their order."""
        return score_levels(self.truth, self.score, self.sampling)


Metric = Callable[[OneVsRest], Estimate]
METRICS: Registry[Metric] = Registry("metric", __name__)


def share(view: OneVsRest, of: Sequence[int], among: Sequence[int], *, undefined: str) -> Estimate:
    """Return what share of some cells of the table others are; undefined, with the reason, where these are empty.

    Args:
        of, among: places in the flat table, such as TP among FN and TP.
    """
    flat = view.table.ravel()
    count, n = int(flat[list(of)].sum()), int(flat[list(among)].sum())
    if n == 0 or not view.sampling.clustered:
        return proportion(count, n, undefined=undefined, exact=view.sampling.exact)
    drawn = view.tables.reshape(-1, 4)
    shares = divided(drawn[:, list(of)].sum(axis=1), drawn[:, list(among)].sum(axis=1))
    patients = len(np.unique(view.sampling.unit_of[np.isin(view._cells, list(among))]))
    return clustered_proportion(count, n, shares, patients)


def rate(right: NDArray[np.bool_], sampling: Sampling, *, undefined: str) -> Estimate:
    """Return the share of images (N,) for which something holds, with its interval."""
    count, n = int(right.sum()), len(right)
    if n == 0 or not sampling.clustered:
        return proportion(count, n, undefined=undefined, exact=sampling.exact)
    drawn = sampling.tables(right.astype(np.int64), 2)
    return clustered_proportion(count, n, drawn[:, 1] / drawn.sum(axis=1), sampling.units)


def proportion(count: int, n: int, *, undefined: str, exact: bool = False) -> Estimate:
    """Return `count / n` of independent images with its interval; undefined, with the reason, when `n` is 0."""
    if n == 0:
        return Estimate(value=None, n=0, count=count, reason=undefined)
    low, high = clopper_pearson(count, n) if exact else wilson(count, n)
    method = "Clopper–Pearson" if exact else "Wilson"
    return Estimate(value=count / n, low=low, high=high, method=method, n=n, count=count)


def drawn_proportion(
    count: int,
    n: int,
    shares: NDArray[np.float64] | None,
    sampling: Sampling,
    among: NDArray[np.bool_],
    *,
    undefined: str,
) -> Estimate:
    """Return `count / n` of some of the images with its interval, from replicates of all of them.

    Args:
        shares: (B,), the proportion in each replicate, NaN where undefined; not looked at where images are independent.
        sampling: of all N images.
        among: (N,), True for those n.
    """
    if n == 0 or shares is None or not sampling.clustered:
        return proportion(count, n, undefined=undefined, exact=sampling.exact)
    return clustered_proportion(count, n, shares, len(np.unique(sampling.unit_of[among])))


def clustered_proportion(count: int, n: int, shares: NDArray[np.float64], patients: int) -> Estimate:
    """Return `count / n` with an interval from patients drawn with all their images.

    Where all of the images agree there is nothing to draw: the interval is then Wilson's for as many independent
    patients, which is wide enough whatever the images of a patient have in common.

    Args:
        shares: (B,), the proportion in each replicate, NaN where undefined.
        patients: whom the n images are of.
    """
    value = count / n
    between = interval_of_share(value, shares, patients)
    if between is None:
        low, high = wilson(patients if count == n else 0 if count == 0 else round(value * patients), patients)
        method = f"Wilson, as of {patients:,} independent patients"
        return Estimate(value=value, low=low, high=high, method=method, n=n, count=count)
    return Estimate(
        value=value,
        low=between[0],
        high=between[1],
        method=f"{bootstrap_of('patient', len(shares))}, logit scale",
        n=n,
        count=count,
        design_effect=float(np.nanvar(shares) / (value * (1 - value) / n)),
    )


def of_view(view: OneVsRest, statistic: Statistic, *, undefined: str) -> Estimate:
    """Return a statistic of a class's table, as `of_table` does."""
    return of_table(view.table, view.tables, statistic, unit=view.sampling.unit, undefined=undefined)


def of_table(
    table: NDArray[np.int64],
    tables: NDArray[np.float64],
    statistic: Statistic,
    *,
    unit: str,
    undefined: str,
) -> Estimate:
    """Return a statistic of a table of counts with its bootstrap interval.

    Args:
        table: (K, K), rows the reference standard, columns the decision.
        tables: (B, K, K), its replicates.
        statistic: (B, K, K) tables → (B,), NaN where undefined.
        unit: what was drawn, "image" or "patient".
        undefined: the reason given where it is NaN.
    """
    n = int(table.sum())
    value = float(statistic(table[None].astype(np.float64))[0]) if n else float("nan")
    if not np.isfinite(value):
        return Estimate(value=None, n=n, reason=undefined)
    return with_bootstrap(value, statistic(tables), unit=unit, n=n)


def with_bootstrap(value: float, replicates: NDArray[np.float64], *, unit: str, n: int) -> Estimate:
    """Return a value with the percentile interval of its replicates (B,), none where they give none."""
    low, high = percentiles(replicates) or (None, None)
    method = bootstrap_of(unit, len(replicates)) if low is not None else ""
    return Estimate(value=value, low=low, high=high, method=method, n=n)


def of_mean(view: OneVsRest, values: NDArray[np.float64]) -> Estimate:
    """Return the mean of a number (N,) that each image has, with its bootstrap interval."""
    return mean_of(values, np.ones(view.n), view.sampling)


def mean_of(
    totals: NDArray[np.float64],
    counts: NDArray[np.float64],
    sampling: Sampling,
    *,
    undefined: str = "no image",
) -> Estimate:
    """Return the mean of numbers of which each image has some, or none, with its bootstrap interval.

    Args:
        totals: (N,), of each image.
        counts: (N,), how many numbers that is the total of.
        undefined: the reason given where there is none at all.
    """
    if not counts.sum():
        return Estimate(value=None, n=sampling.n, reason=undefined)
    sums = sampling.sums(np.stack([totals, counts], axis=1))
    value = float(totals.sum() / counts.sum())
    return with_bootstrap(value, divided(sums[:, 0], sums[:, 1]), unit=sampling.unit, n=sampling.n)


def diagonal(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the right decisions (B, K) of (B, K, K) tables."""
    return np.diagonal(tables, axis1=1, axis2=2).copy()


def divided(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `over / under`, NaN where `under` is 0."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
