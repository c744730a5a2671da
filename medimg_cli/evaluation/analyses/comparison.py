"""This model against another one on the same images: differences and intervals first, tests second."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, divided, rate
from medimg_cli.evaluation.results.decisions import Comparison, Difference
from medimg_cli.statistics.difference_intervals import difference
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import auroc_influence, paired_clustered_auroc, paired_delong
from medimg_cli.statistics.paired_tests import (
    correlation,
    holm,
    mcnemar,
    mcnemar_by_patient,
    paired_correlation,
    two_sided,
    wald,
)
from medimg_cli.statistics.sampling import Sampling

NOT_ASKED = "ask for it with --compare RUN"


@ANALYSES.register("comparison")
def comparison(subject: Subject) -> Comparison | str:
    """Return the differences to the other answers, each decided at its own threshold."""
    rival = subject.rival
    if rival is None:
        return NOT_ASKED
    here, other = subject.here, rival.answered
    rows = _of_labels(here, other) if here.labels.several else _of_classes(here, other)
    adjusted = holm([row.p for row in rows])
    return Comparison(
        against=rival.name,
        n=here.n,
        patients=int(here.table["patient_id"].nunique()),
        same_images=rival.same_images,
        predictions_sha256=rival.predictions_sha256,
        differences=tuple(
            row.model_copy(update={"p_adjusted": p}) for row, p in zip(rows, adjusted, strict=True)
        ),
    )


def _of_classes(here: Answered, other: Answered) -> list[Difference]:
    """Return recall, specificity and AUROC of the positive class where there is one, else means over classes."""
    right, also = here.truth == here.called, other.truth == other.called
    everyone = np.ones(here.n, dtype=bool)
    rows = [_of_rates("accuracy", right, also, everyone, here.sampling)]
    positive = here.labels.positive
    if positive is None:
        return [_of_balanced(here, other), *rows, _of_mean_area(here, other)]
    view, against = here.view_of(positive), other.view_of(positive)
    decided, other_decided = view.called == view.truth, against.called == against.truth
    return [
        _of_rates("recall", decided, other_decided, view.truth, here.sampling),
        _of_rates("specificity", decided, other_decided, ~view.truth, here.sampling),
        *rows,
        _of_areas("auroc", view, against),
    ]


def _of_labels(here: Answered, other: Answered) -> list[Difference]:
    """Return recall and AUROC of each label."""
    rows = []
    for name, view in here.views.items():
        against = other.views[name]
        found, also = view.called & view.truth, against.called & against.truth
        rows += [
            _of_rates(f"recall of {name}", found, also, view.truth, view.sampling),
            _of_areas(f"auroc of {name}", view, against),
        ]
    return rows


def _of_rates(
    name: str,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    among: NDArray[np.bool_],
    sampling: Sampling,
) -> Difference:
    """Return the difference of two shares of the same images.

    Args:
        first, second: (N,), which of the images each of the two decided rightly.
        among: (N,), the images that are meant.
    """
    first, second, part = first[among], second[among], sampling.of(among)
    undefined = "no such image"
    mine, theirs = (rate(right, part, undefined=undefined) for right in (first, second))
    if not len(first):
        return _undefined(name, undefined)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if part.clustered:
        drawn = part.sums(np.stack([first, second, np.ones(len(first))], axis=1).astype(np.float64))
        shares = drawn[:, :2] / drawn[:, 2:]
        together = correlation(shares[:, 0], shares[:, 1])
        gains = np.bincount(part.unit_of, weights=first.astype(np.float64) - second, minlength=part.units)
        p, test = mcnemar_by_patient(gains.astype(np.int64))
    else:
        together = paired_correlation(first, second)
        p, test = mcnemar(only_first, only_second)
    gap_of = difference(mine, theirs, correlation=together)
    return Difference(
        name=name,
        first=mine.value,
        second=theirs.value,
        difference=gap_of.model_copy(update={"n": len(first)}),
        test=test,
        p=p,
        only_first=only_first,
        only_second=only_second,
    )


def _of_areas(name: str, view: OneVsRest, against: OneVsRest) -> Difference:
    mine, theirs = METRICS.get("auroc")(view), METRICS.get("auroc")(against)
    if mine.value is None or theirs.value is None:
        return _undefined(name, mine.reason or theirs.reason or "only one class occurs")
    if view.sampling.clustered:
        gap, variance = paired_clustered_auroc(view.truth, view.score, against.score, view.sampling.unit_of)
        test = "DeLong by patient (Obuchowski), paired"
    else:
        gap, variance = paired_delong(view.truth, view.score, against.score)
        test = "DeLong, paired"
    return _with_variance(name, mine.value, theirs.value, gap, variance, test=test, n=view.n)


def _of_mean_area(here: Answered, other: Answered) -> Difference:
    """Return the difference of the mean areas over classes, by what each image adds to the error of both."""
    mine, theirs = list(here.views.values()), list(other.views.values())
    if any(view.truth.all() or not view.truth.any() for view in mine):
        return _undefined("macro_auroc", "a class does not occur")
    areas = [np.mean([METRICS.get("auroc")(view).value or 0.0 for view in views]) for views in (mine, theirs)]
    added = np.mean(
        [
            auroc_influence(view.truth, view.score) - auroc_influence(against.truth, against.score)
            for view, against in zip(mine, theirs, strict=True)
        ],
        axis=0,
    )
    sampling = here.sampling
    variance = sampling.variance(added)
    first, second = (float(area) for area in areas)
    test = f"DeLong by {sampling.unit}, paired"
    return _with_variance("macro_auroc", first, second, first - second, variance, test=test, n=here.n)


def _of_balanced(here: Answered, other: Answered) -> Difference:
    """Return the difference of the mean recalls over classes, images (or patients) resampled for both at once."""
    right, also = here.truth == here.called, other.truth == other.called
    shape = (len(here.classes), 2, 2)
    cells, count = np.ravel_multi_index((here.truth, right, also), shape), len(here.classes) * 4
    observed = np.bincount(cells, minlength=count).reshape(1, *shape).astype(np.float64)
    (first,), (second,) = _recalls(observed)
    if not np.isfinite([first, second]).all():
        return _undefined("macro_recall", "a class does not occur")
    mine, theirs = _recalls(here.sampling.tables(cells, count).reshape(-1, *shape))
    variance = float(np.nanvar(mine - theirs))
    first, second, test = float(first), float(second), f"z, {here.sampling.unit}s resampled"
    return _with_variance("macro_recall", first, second, first - second, variance, test=test, n=here.n)


def _recalls(tables: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean recalls (B,) of both from how often they were right (B, C, 2, 2), NaN where a class is absent."""
    images = tables.sum(axis=(2, 3))
    first, second = tables[:, :, 1].sum(axis=2), tables[:, :, :, 1].sum(axis=2)
    return divided(first, images).mean(axis=1), divided(second, images).mean(axis=1)


def _with_variance(
    name: str, first: float, second: float, gap: float, variance: float, *, test: str, n: int
) -> Difference:
    p = two_sided(gap, variance)
    if p is None:
        return Difference(name=name, first=first, second=second, difference=Estimate(value=gap, n=n))
    low, high = wald(gap, variance)
    found = Estimate(value=gap, low=low, high=high, method=test, n=n)
    return Difference(name=name, first=first, second=second, difference=found, test=test, p=p)


def _undefined(name: str, reason: str) -> Difference:
    return Difference(name=name, first=None, second=None, difference=Estimate(value=None, n=0, reason=reason))
