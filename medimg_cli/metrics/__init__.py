"""Metrics of one class against the rest: a shelf, one file per metric."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.evaluation import Estimate
from medimg_cli.core.intervals import bootstrap_counts, wilson
from medimg_cli.registry import Registry


@dataclass(frozen=True)
class OneVsRest:
    """One class seen as positive, all others as negative.

    Args:
        truth: (N,), True where the reference standard says this class.
        score: (N,), probability of this class, 0..1.
        called: (N,), True where the decision in force says this class.
    """

    truth: NDArray[np.bool_]
    score: NDArray[np.float64]
    called: NDArray[np.bool_]

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def table(self) -> NDArray[np.int64]:
        """Return [[TN, FP], [FN, TP]]."""
        index = self.truth.astype(np.int64) * 2 + self.called
        return np.bincount(index, minlength=4).reshape(2, 2)


Metric = Callable[[OneVsRest], Estimate]
METRICS: Registry[Metric] = Registry("metric", __name__)


def proportion(count: int, n: int, *, undefined: str) -> Estimate:
    """Return `count / n` with its Wilson interval; undefined, with the reason, when `n` is 0."""
    if n == 0:
        return Estimate(value=None, n=0, count=count, reason=undefined)
    low, high = wilson(count, n)
    return Estimate(value=count / n, low=low, high=high, method="Wilson", n=n, count=count)


def of_table(
    table: NDArray[np.int64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    undefined: str,
) -> Estimate:
    """Return a statistic of a table of counts with its bootstrap interval.

    Args:
        table: (K, K), rows the reference standard, columns the decision.
        statistic: (B, K, K) tables → (B,), NaN where undefined.
        undefined: the reason given where it is NaN.
    """
    n = int(table.sum())
    value = float(statistic(table[None].astype(np.float64))[0])
    if not np.isfinite(value):
        return Estimate(value=None, n=n, reason=undefined)
    low, high = bootstrap_counts(table, statistic) or (None, None)
    method = "bootstrap, 2,000 replicates" if low is not None else ""
    return Estimate(value=value, low=low, high=high, method=method, n=n)


def diagonal(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the right decisions (B, K) of (B, K, K) tables."""
    return np.diagonal(tables, axis1=1, axis2=2).copy()


def divided(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `over / under`, NaN where `under` is 0."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
