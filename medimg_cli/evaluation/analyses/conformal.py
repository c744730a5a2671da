"""Sets of classes that hold the right one with a stated chance."""

import numpy as np

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import rate
from medimg_cli.evaluation.results.abstention import Conformal
from medimg_cli.statistics.conformal import least_probabilities, sets_of
from medimg_cli.statistics.estimate import Estimate


@ANALYSES.register("conformal")
def conformal(subject: Subject) -> Conformal | str:
    """Return how often class-conditional sets, calibrated on validation, hold the right class here, and their sizes.

    The chance of 1 − alpha rests on exchangeability: an image here might as well have stood on validation. See
    `statistics.conformal` for what that asks. Where the whole interval of a coverage lies below 1 − alpha, it does not hold.
    """
    here, tuning = subject.here, subject.tuning
    if here.labels.several:
        return "several labels an image: there is no one right class for a set to hold"
    if tuning is None or not tuning.n:
        return "no answers to validation are at hand to calibrate them on"
    if not here.n:
        return "no image"
    alpha = subject.settings.alpha
    least, counts = least_probabilities(tuning.probabilities, tuning.truth, alpha)
    sets = sets_of(here.probabilities, least)
    holds, size = sets[np.arange(here.n), here.truth], sets.sum(axis=1)
    by_class = {
        name: rate(holds, here.sampling, among=here.truth == index, undefined="no image of this class")
        for index, name in enumerate(here.classes)
    }
    return Conformal(
        alpha=alpha,
        thresholds=dict(zip(here.classes, least.tolist(), strict=True)),
        calibrated_on=dict(zip(here.classes, counts.tolist(), strict=True)),
        coverage=rate(holds, here.sampling, undefined="no image"),
        by_class=by_class,
        withheld={name: why for name, each in by_class.items() if (why := _short_of(each, 1 - alpha))},
        mean_size=float(size.mean()),
        singletons=rate(size == 1, here.sampling, undefined="no image"),
        empties=rate(size == 0, here.sampling, undefined="no image"),
    )


def _short_of(coverage: Estimate, stated: float) -> str:
    """Return why sets of a class are withheld: its whole interval of coverage lies below what was stated; "" if not."""
    if coverage.high is None or coverage.high >= stated:
        return ""
    return f"holds it in {coverage.count} of {coverage.n} tested images, at most {coverage.high:.3f}, not {stated:g}"
