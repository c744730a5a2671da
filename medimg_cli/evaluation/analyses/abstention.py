"""What becomes of the rest when uncertain images go to a reader, and sets of classes that hold the right one."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import rate
from medimg_cli.evaluation.results.calibration import Abstention, Conformal, Referral
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.statistics.calibration_slope import logit
from medimg_cli.statistics.conformal import (
    kept_points,
    least_probabilities,
    most_certain_first,
    referred_of,
    selective_risk,
    sets_of,
)
from medimg_cli.statistics.estimate import Estimate

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
_FROM_THRESHOLD = "distance of the probability of {name} from the threshold, on the logit scale"
_HIGHEST = "the highest probability"
_NONE_LEFT = "no image of this class is left"
_CLASS_GONE = "of some class no image is left"


@ANALYSES.register("abstention")
def abstention(subject: Subject) -> Abstention | str:
    """Return the risk–coverage curve, and recall and error of the rest at several shares of referral.

    A certain answer is one far from the threshold in force where there is one. Which images are referred is taken as it
    is for intervals: images are not ordered anew.
    """
    here = subject.here
    if here.labels.several:
        return "several labels an image: one may be certain where another is not, so no image is uncertain as a whole"
    if not here.n:
        return "no image"
    certainty, words = certainty_of(here)
    order = most_certain_first(certainty, here.table["image_id"].astype(str).tolist())
    risk = selective_risk((here.truth != here.called)[order])
    drawn = kept_points(here.n)
    return Abstention(
        certainty=words,
        coverage=tuple(((drawn + 1) / here.n).tolist()),
        risk=tuple(risk[drawn].tolist()),
        aurc=float(risk.mean()),
        referrals=_referrals(here, order),
    )


def certainty_of(here: ScoredPredictions) -> tuple[NDArray[np.float64], str]:
    """Return how certain each decision (N,) is, and what that is in words."""
    threshold = here.point.threshold
    if threshold is None or here.labels.positive is None:
        return here.probabilities.max(axis=1), _HIGHEST
    cut = logit(np.array([threshold.value]))
    words = _FROM_THRESHOLD.format(name=here.labels.positive)
    return np.abs(logit(here.labels.positive_score(here.probabilities)) - cut), words


def _referrals(here: ScoredPredictions, order: NDArray[np.int64]) -> tuple[Referral, ...]:
    """Return what is left at each share, the least certain images taken away.

    Args:
        order: (N,) places of the images, the most certain first.
    """
    rank = np.empty(here.n, dtype=np.int64)
    rank[order[::-1]] = np.arange(here.n)  # the least certain is 0
    referred = ((share, referred_of(here.n, share)) for share in SHARES)
    return tuple(_referral(here, share, count, rank >= count) for share, count in referred)


def _referral(here: ScoredPredictions, share: float, referred: int, kept: NDArray[np.bool_]) -> Referral:
    """Return what is left of one share, `kept` (N,) True where an image is."""
    wrong, missed = here.truth != here.called, None
    if here.labels.positive is None:
        recall = mean_recall(here.of(kept), _CLASS_GONE)
    else:
        positive = here.labels.is_positive
        ill = kept & positive[here.truth]
        recall = rate(positive[here.called], here.sampling, among=ill, undefined=_NONE_LEFT)
        missed = recall.n - (recall.count or 0)
    error = rate(wrong, here.sampling, among=kept, undefined="no image is left")
    return Referral(share=share, referred=referred, recall=recall, missed=missed, error=error)


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
