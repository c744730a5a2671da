"""Areas under the receiver operating characteristic and the precision–recall curve, of one class or as means."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, ONE_SIDED, Floats, OneVsRest, even_size, unvaried
from medimg_cli.statistics.areas import area_variance, auroc_influence, average_precision_influence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import area_interval
from medimg_cli.statistics.sampling import Sampling

Rows = slice | NDArray[np.int64]


@METRICS.register("auroc")
def auroc(view: OneVsRest) -> Estimate:
    """Return the chance that a random positive scores above a random negative (ties count half)."""
    if view.truth.all() or not view.truth.any():
        return Estimate(value=None, n=view.n, reason="only one class occurs")
    sampling = view.sampling
    area, influence = auroc_influence(view.truth, view.score)
    variance = area_variance(view.truth, influence, sampling.unit_of if sampling.clustered else None)
    independent = area_variance(view.truth, influence)
    sides = [sampling.units_among(rows) for rows in (view.truth, ~view.truth)]
    units = min(sides) if sampling.clustered else None
    method = "DeLong by patient (Obuchowski)" if sampling.clustered else "DeLong"
    why = view.one_sided_data()
    found = _of_area(area, variance, sampling, why, method=method, size=pairs_size(*sides), units=units)
    known = sampling.clustered and found.low is not None and independent > 0
    return found.model_copy(update={"design_effect": variance / independent}) if known else found


def pairs_size(positives: int, negatives: int) -> float:
    """Return how many images an area of 1 is worth, by the variance of Newcombe RG. Stat Med 2006;25:559-573 (method 5)."""
    return 4 * positives * negatives / (positives + negatives + 2)


@METRICS.register("average_precision")
def average_precision(view: OneVsRest) -> Estimate:
    """Return the sum of precision over the steps in recall; a random score gets the prevalence.

    What images add to its error is the linear part of it. The logit scale is that of Boyd K, Eng KH, Page CD. ECML PKDD
    2013, LNCS 8190:451-466.
    """
    if not view.truth.any():
        return Estimate(value=None, n=view.n, reason="no image of this class")
    value, influence = average_precision_influence(view.truth, view.score)
    positives, sampling = view.sampling.units_among(view.truth), view.sampling
    why = sampling.nothing_from(positives, f" with {view.name}")
    variance = sampling.variance(influence)
    method = f"influence by {sampling.unit}"
    return _of_area(value, variance, sampling, why, method=method, size=positives, units=positives)


def _of_area(
    value: float,
    variance: float,
    sampling: Sampling,
    why: str,
    *,
    method: str,
    size: float,
    units: int | None,
) -> Estimate:
    at_end = value in (0.0, 1.0)
    why = why or ("" if at_end else unvaried(variance, sampling))
    if why:
        return Estimate(value=value, n=sampling.n, reason=why)
    low, high = area_interval(value, variance, size, units=units)
    scale = f"score{ONE_SIDED}" if at_end else f"{method}, logit scale"
    return Estimate(value=value, low=low, high=high, method=scale, n=sampling.n)


AreaOf = Callable[[NDArray[np.bool_], Floats], tuple[float, Floats]]


def macro_auroc(views: Iterable[OneVsRest], sampling: Sampling) -> Estimate:
    """Return the mean of the classes' areas, all of the same N images, with an interval that knows they are."""
    return mean_area([(view, slice(None)) for view in views], sampling, auroc_influence)


def macro_average_precision(views: Iterable[OneVsRest], sampling: Sampling) -> Estimate:
    """Return the mean of the classes' average precisions, all of the same N images, as `macro_auroc` does."""
    return mean_area([(view, slice(None)) for view in views], sampling, average_precision_influence)


def mean_area(views: Sequence[tuple[OneVsRest, Rows]], sampling: Sampling, of: AreaOf) -> Estimate:
    """Return the mean of an area over classes or labels; undefined where one is not.

    Args:
        views: each with its rows among the N images of `sampling`; an image that nobody judged adds nothing.
        of: `auroc_influence` or `average_precision_influence`.
    """
    lone = of is auroc_influence
    if not views or any(not view.truth.any() or (lone and bool(view.truth.all())) for view, _ in views):
        return Estimate(value=None, n=sampling.n, reason="a class does not occur")
    value, influence = mean_area_influence(views, sampling.n, of)
    positives = [view.sampling.units_among(view.truth) for view, _ in views]
    why = next((reason for view, _ in views if (reason := view.one_sided_data())), "")
    method = f"{'DeLong' if lone else 'influence'} by {sampling.unit}"
    size, units = even_size(positives), min(positives)
    return _of_area(value, sampling.variance(influence), sampling, why, method=method, size=size, units=units)


def mean_area_influence(views: Sequence[tuple[OneVsRest, Rows]], n: int, of: AreaOf) -> tuple[float, Floats]:
    """Return a mean of areas and what each of n images adds to its error; arguments as `mean_area` has them."""
    areas, influence = [], np.zeros(n)
    for view, rows in views:
        area, each = of(view.truth, view.score)
        areas.append(area)
        influence[rows] += each / len(views)
    return float(np.mean(areas)), influence
