"""Numbers of one class against the rest: a shelf, one file per metric.

Intervals come from what each image adds to the error of a figure (its influence), summed by patient where patients have
several images: the variance of a ratio of sums over patients. No figure but those of curves needs replicates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg_cli.registry import Registry
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import ROUNDING, clopper_pearson, mean_interval, score_interval, wilson
from medimg_cli.statistics.sampling import Sampling, ScoreLevels, score_levels

TN, FP, FN, TP = range(4)
"""Places of the four counts in a flat table of one class against the rest."""
Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
ONE_SIDED = ", one-sided"
_ROUNDED = 1e-12
_STEP = 1e-3  # of an image, by which counts are moved to find a slope


@dataclass(frozen=True)
class OneVsRest:
    """One class seen as positive, all others as negative.

    Args:
        truth: (N,), True where the reference standard says this class.
        score: (N,), probability of this class, 0..1.
        called: (N,), True where the decision in force says this class.
        drawn_from: how the N images were sampled; None = each is a patient of its own.
        name: what reasons call the class.
    """

    truth: NDArray[np.bool_]
    score: NDArray[np.float64]
    called: NDArray[np.bool_]
    drawn_from: Sampling | None = None
    name: str = "the disease"

    @property
    def n(self) -> int:
        return len(self.truth)

    @cached_property
    def sampling(self) -> Sampling:
        return self.drawn_from or Sampling(None, self.n)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Return the place (N,) of each image in the flat table."""
        return self.truth.astype(np.int64) * 2 + self.called

    @property
    def table(self) -> NDArray[np.int64]:
        """Return [[TN, FP], [FN, TP]]."""
        return np.bincount(self.cells, minlength=4).reshape(2, 2)

    @property
    def has_both(self) -> bool:
        """Return whether some image shows the class and some does not."""
        return bool(self.truth.any()) and not bool(self.truth.all())

    @cached_property
    def levels(self) -> ScoreLevels:
        """Return counts and replicates of the scores on at most 256 levels, for what depends on their order."""
        return score_levels(self.truth, self.score, self.sampling)

    def one_sided_data(self) -> str:
        """Return why the few patients with the class, or without it, give no interval, "" where they are enough."""
        sides = ((self.truth, f" with {self.name}"), (~self.truth, f" without {self.name}"))
        found = (self.sampling.nothing_from(self.sampling.units_among(rows), of) for rows, of in sides)
        return next(filter(None, found), "")


Metric = Callable[[OneVsRest], Estimate]
METRICS: Registry[Metric] = Registry("metric", __name__)


def share(view: OneVsRest, of: Sequence[int], among: Sequence[int], *, undefined: str) -> Estimate:
    """Return what share of some cells of the table others are; undefined, with the reason, where these are empty.

    Args:
        of, among: places in the flat table, such as TP among FN and TP.
    """
    right, counted = (np.isin(np.arange(4), places)[view.cells] for places in (of, among))
    return rate(right, view.sampling, among=counted, undefined=undefined)


def rate(
    right: NDArray[np.bool_],
    sampling: Sampling,
    *,
    undefined: str,
    among: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Return the share of images for which something holds, with its interval.

    Args:
        right: (N,), True where it holds.
        sampling: of all N images.
        among: (N,), the images that count; None = all.
        undefined: the reason given where none does.
    """
    if among is not None and not among.all():
        right, sampling = right[among], sampling.of(among)
    count, n, patients = int(right.sum()), len(right), sampling.units
    if n == 0 or not sampling.clustered:
        return proportion(count, n, undefined=undefined, exact=sampling.exact)
    value = count / n
    why = sampling.nothing_from(patients)
    if why:
        return Estimate(value=value, n=n, count=count, reason=why)
    low, high = sampling.share_interval(right)
    independent = value * (1 - value) / n
    return Estimate(
        value=value,
        low=low,
        high=high,
        method=f"Wilson by patient, {patients:,} patients",
        n=n,
        count=count,
        design_effect=sampling.variance((right - value) / n) / independent if independent else None,
    )


def proportion(count: int, n: int, *, undefined: str, exact: bool = False) -> Estimate:
    """Return `count / n` of independent images with its interval; undefined, with the reason, when `n` is 0."""
    if n == 0:
        return Estimate(value=None, n=0, count=count, reason=undefined)
    low, high = clopper_pearson(count, n) if exact else wilson(count, n)
    method = "Clopper–Pearson" if exact else "Wilson"
    return Estimate(value=count / n, low=low, high=high, method=method, n=n, count=count)


def bounded(
    value: float,
    influence: Floats,
    sampling: Sampling,
    *,
    size: float | None = None,
    units: int | None = None,
    least: float = 0.0,
) -> Estimate:
    """Return a figure that cannot pass 1, nor `least`, with its score interval.

    Args:
        influence: (N,), what each image adds to its error.
        size: independent images, or patients, that a figure of 1 rests on; None = all of them.
        units: the fewest patients that one of its parts is of, at least 2; None = all of them.
        least: what it cannot fall below.
    """
    value = next((end for end in (least, 1.0) if abs(value - end) < _ROUNDED), value)
    spread, at_end, width = sampling.variance(influence), value in (least, 1.0), 1.0 - least
    why = sampling.nothing_from(sampling.units) or ("" if at_end else unvaried(spread, sampling))
    if why:
        return Estimate(value=value, n=sampling.n, reason=why)
    size = size or sampling.units
    low, high = score_interval(
        (value - least) / width,
        spread / width**2,
        size,
        units=(units or sampling.units) if sampling.clustered and not at_end else None,
        most=2
        * size
        * sampling.n
        / sampling.units,  # classes that differ say more of their mean than one share would
    )
    method = f"score, linearized, by {sampling.unit}" + (ONE_SIDED if at_end else "")
    low, high = least + width * low, least + width * high
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method, n=sampling.n)


def unvaried(variance: float, sampling: Sampling) -> str:
    """Return why a variance that is rounding noise gives no interval, "" where it is more."""
    return f"no two {sampling.unit}s differ in what makes its error" if variance <= ROUNDING else ""


def slopes(statistic: Statistic, whole: Floats) -> Floats:
    """Return by how much a statistic of counts (F,) rises with one image more in each, 0 where there is none."""
    used = np.flatnonzero(whole)
    moved = np.zeros((len(used), len(whole)))
    moved[np.arange(len(used)), used] = _STEP
    found = np.zeros(len(whole))
    found[used] = (statistic(whole + moved) - statistic(whole - moved)) / (2 * _STEP)
    return found


def table_influence(cells: NDArray[np.int64], classes: int, statistic: Statistic) -> tuple[float, Floats]:
    """Return a statistic of a table of counts and what each image (N,) adds to its error.

    Args:
        cells: (N,), places in the flat (K, K) table: rows the reference standard, columns the decision.
        statistic: (B, K, K) tables → (B,), NaN where undefined, the same of twice the table.
    """
    whole = np.bincount(cells, minlength=classes**2).astype(np.float64)

    def flat(tables: Floats) -> Floats:
        return statistic(tables.reshape(-1, classes, classes))

    value = float(flat(whole)[0]) if len(cells) else float("nan")
    return value, slopes(flat, whole)[cells] if np.isfinite(value) else np.zeros(len(cells))


def of_table(
    cells: NDArray[np.int64],
    classes: int,
    statistic: Statistic,
    sampling: Sampling,
    *,
    undefined: str,
    even: bool = True,
    chance: Statistic | None = None,
) -> Estimate:
    """Return a statistic of a table of counts with its interval.

    Args:
        cells, classes, statistic: as `table_influence` has them.
        undefined: the reason given where it is NaN.
        even: each class weighs the same, so that a rare one says little for many.
        chance: of a coefficient, (B, K, K) tables → the share p (B,) of decisions that chance would make right: it is then
            at least −p / (1 − p), and rises in a straight line with the share that is right.
    """
    value, influence = table_influence(cells, classes, statistic)
    if not np.isfinite(value):
        return Estimate(value=None, n=len(cells), reason=undefined)
    patients = [sampling.units_among(cells // classes == each) for each in range(classes)] if even else []
    least = 0.0
    if chance is not None:
        share = float(
            chance(np.bincount(cells, minlength=classes**2).reshape(1, classes, classes).astype(np.float64))[
                0
            ]
        )
        least = min(value, -share / (1 - share))
    size, units = (even_size(patients), max(2, min(patients))) if even else (None, None)
    return bounded(value, influence, sampling, size=size, units=units, least=least)


def even_size(units: Sequence[int]) -> float:
    """Return how many independent images or patients a mean over classes of so many each is worth."""
    return len(units) ** 2 / sum(1 / max(1, each) for each in units)


def of_mean(view: OneVsRest, values: Floats, *, most: float = np.inf) -> Estimate:
    """Return the mean of a number (N,) that each image has, at least 0 and at most `most`, with its interval."""
    return mean_of(values, np.ones(view.n), view.sampling, most=most)


def mean_of(
    totals: Floats,
    counts: Floats,
    sampling: Sampling,
    *,
    undefined: str = "no image",
    most: float = np.inf,
) -> Estimate:
    """Return the mean of numbers of at least 0, of which each image has some, or none, with its interval.

    Args:
        totals: (N,), of each image.
        counts: (N,), how many numbers that is the total of.
        undefined: the reason given where there is none at all.
    """
    if not counts.sum():
        return Estimate(value=None, n=sampling.n, reason=undefined)
    value = float(totals.sum() / counts.sum())
    by_unit = sampling.by_unit((totals - value * counts) / counts.sum())
    why = sampling.nothing_from(sampling.units) or unvaried(float(by_unit @ by_unit), sampling)
    if why:
        return Estimate(value=value, n=sampling.n, reason=why)
    (low,), (high,) = mean_interval(np.array([value]), by_unit[:, None])
    method = f"Hall, by {sampling.unit}"
    return Estimate(value=value, low=max(0.0, low), high=min(most, high), method=method, n=sampling.n)


def diagonal(tables: Floats) -> Floats:
    """Return the right decisions (B, K) of (B, K, K) tables."""
    return np.diagonal(tables, axis1=1, axis2=2).copy()


def divided(over: Floats, under: Floats) -> Floats:
    """Return `over / under`, NaN where `under` is 0."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
