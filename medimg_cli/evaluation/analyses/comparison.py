"""This model against another one on the same images: differences and intervals first, tests second."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, rate, table_influence
from medimg_cli.evaluation.metrics.counts import balanced_accuracy_of
from medimg_cli.evaluation.metrics.ranking import macro_auroc, mean_area_influence
from medimg_cli.evaluation.results.decisions import Comparison, Difference
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.statistics.areas import area_variance, auroc_influence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import difference
from medimg_cli.statistics.paired_tests import (
    correlation,
    holm,
    mcnemar,
    mcnemar_by_patient,
    paired_correlation,
    two_sided,
)
from medimg_cli.statistics.sampling import Sampling

NOT_ASKED = "ask for it with --compare RUN"


@ANALYSES.register("comparison")
def comparison(subject: Subject) -> Comparison | str:
    """Return the differences to the other answers, both decided by one rule."""
    rival = subject.rival
    if rival is None:
        return NOT_ASKED
    here, other = subject.here, rival.answered
    rows = _of_labels(here, other) if here.labels.several else _of_classes(here, other)
    adjusted = holm([row.p for row in rows])
    return Comparison(
        against=rival.name,
        rule=rival.rule,
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
        added = (part.by_unit(right - right.mean()) for right in (first, second))
        together = correlation(*added)
        gains = part.by_unit(first.astype(np.float64) - second)
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
    added = [
        auroc_influence(each.truth, each.score)[1] if mine.value is not None else None
        for each in (view, against)
    ]
    if added[0] is None or added[1] is None:
        return _undefined(name, mine.reason or "only one class occurs")
    sampling = view.sampling
    variance = area_variance(
        view.truth, added[0] - added[1], sampling.unit_of if sampling.clustered else None
    )
    test = "DeLong by patient (Obuchowski), paired" if sampling.clustered else "DeLong, paired"
    return _of_two(name, mine, theirs, (added[0], added[1]), sampling, test=test, variance=variance)


def _of_mean_area(here: Answered, other: Answered) -> Difference:
    """Return the difference of the mean areas over classes, by what each image adds to the error of both."""
    mine, theirs = (macro_auroc(each.views.values(), each.sampling) for each in (here, other))
    if mine.value is None or theirs.value is None:
        return _undefined("macro_auroc", "a class does not occur")
    placed = [[(view, slice(None)) for view in each.views.values()] for each in (here, other)]
    first, second = (mean_area_influence(each, here.n, auroc_influence)[1] for each in placed)
    test = f"DeLong by {here.sampling.unit}, paired"
    return _of_two("macro_auroc", mine, theirs, (first, second), here.sampling, test=test)


def _of_balanced(here: Answered, other: Answered) -> Difference:
    """Return the difference of the mean recalls over classes, by what each image adds to the error of both."""
    mine, theirs = (mean_recall(each, "a class does not occur") for each in (here, other))
    if mine.value is None or theirs.value is None:
        return _undefined("macro_recall", "a class does not occur")
    classes = len(here.classes)
    first, second = (table_influence(each.cells, classes, balanced_accuracy_of)[1] for each in (here, other))
    test = f"z, by {here.sampling.unit}"
    return _of_two("macro_recall", mine, theirs, (first, second), here.sampling, test=test)


def _of_two(
    name: str,
    mine: Estimate,
    theirs: Estimate,
    added: tuple[NDArray[np.float64], NDArray[np.float64]],
    sampling: Sampling,
    *,
    test: str,
    variance: float | None = None,
) -> Difference:
    """Return the difference of two figures of the same images, its interval from both and from what they share.

    Args:
        added: (N,), (N,), what each image adds to the error of both.
        variance: of the difference, for the test; None = by image or patient.
    """
    assert mine.value is not None and theirs.value is not None
    first, second = (sampling.by_unit(each) for each in added)
    gap = difference(mine, theirs, correlation=correlation(first, second)).model_copy(
        update={"n": sampling.n}
    )
    spread = sampling.variance(added[0] - added[1]) if variance is None else variance
    p = two_sided(mine.value - theirs.value, spread) if gap.low is not None else None
    return Difference(
        name=name,
        first=mine.value,
        second=theirs.value,
        difference=gap,
        test=test if p is not None else "",
        p=p,
    )


def _undefined(name: str, reason: str) -> Difference:
    return Difference(name=name, first=None, second=None, difference=Estimate(value=None, n=0, reason=reason))
