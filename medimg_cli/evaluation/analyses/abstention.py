"""What becomes of the rest when uncertain images go to a reader."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import diagonal, divided, drawn_proportion, of_table
from medimg_cli.evaluation.metrics.counts import balanced_accuracy_of
from medimg_cli.evaluation.results.abstention import Abstention, Referral
from medimg_cli.statistics.calibration_slope import logit
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.selective import kept_points, most_certain_first, referred_of, selective_risk

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
_FROM_THRESHOLD = "distance of the probability of {name} from the threshold, on the logit scale"
_HIGHEST = "the highest probability"
_NONE_LEFT = "no image of this class is left"
_CLASS_GONE = "of some class no image is left"


@ANALYSES.register("abstention")
def abstention(subject: Subject) -> Abstention | str:
    """Return the risk–coverage curve, and recall and error of the rest at several shares of referral.

    A certain answer is one far from the threshold in force where there is one. Which images are referred is taken as it
    is for intervals: replicates draw images, or patients, and do not order them anew.
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


def certainty_of(here: Answered) -> tuple[NDArray[np.float64], str]:
    """Return how certain each decision (N,) is, and what that is in words."""
    threshold = here.point.threshold
    if threshold is None or here.labels.positive is None:
        return here.probabilities.max(axis=1), _HIGHEST
    cut = logit(np.array([threshold.value]))
    words = _FROM_THRESHOLD.format(name=here.labels.positive)
    return np.abs(logit(here.labels.positive_score(here.probabilities)) - cut), words


def _referrals(here: Answered, order: NDArray[np.int64]) -> tuple[Referral, ...]:
    """Return what is left at each share, the least certain images taken away.

    Args:
        order: (N,) places of the images, the most certain first.
    """
    classes, steps = len(here.classes), len(SHARES)
    referred = [referred_of(here.n, share) for share in SHARES]
    rank = np.empty(here.n, dtype=np.int64)
    rank[order[::-1]] = np.arange(here.n)  # the least certain is 0
    survived = np.searchsorted(referred, rank, side="right") - 1  # of which referrals an image is not part
    cells = (survived * classes + here.truth) * classes + here.called
    tables = here.sampling.tables(cells, steps * classes**2).reshape(-1, steps, classes, classes)
    left = tables[:, ::-1].cumsum(axis=1)[:, ::-1]
    return tuple(
        _referral(here, share, referred[step], survived >= step, left[:, step])
        for step, share in enumerate(SHARES)
    )


def _referral(
    here: Answered, share: float, referred: int, kept: NDArray[np.bool_], tables: NDArray[np.float64]
) -> Referral:
    """Return what is left of one share.

    Args:
        kept: (N,), True where an image is left.
        tables: (B, C, C), replicates of the confusion matrix of those.
    """
    wrong = kept & (here.truth != here.called)
    images = tables.sum(axis=(1, 2))
    errors = divided(images - diagonal(tables).sum(axis=1), images)
    recall, missed = _recall(here, kept, tables)
    return Referral(
        share=share,
        referred=referred,
        recall=recall,
        missed=missed,
        error=drawn_proportion(
            int(wrong.sum()), int(kept.sum()), errors, here.sampling, kept, undefined="no image is left"
        ),
    )


def _recall(
    here: Answered, kept: NDArray[np.bool_], tables: NDArray[np.float64]
) -> tuple[Estimate, int | None]:
    """Return recall and misses of the positive class among what is left, else the mean recall over classes."""
    classes = len(here.classes)
    if here.labels.positive is None:
        cells = here.truth[kept] * classes + here.called[kept]
        table = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        unit = here.sampling.unit
        return of_table(table, tables, balanced_accuracy_of, unit=unit, undefined=_CLASS_GONE), None
    positive = here.labels.is_positive
    ill = kept & positive[here.truth]
    found = int((ill & positive[here.called]).sum())
    of_ill = tables[:, positive].sum(axis=1)
    shares = divided(of_ill[:, positive].sum(axis=1), of_ill.sum(axis=1))
    n = int(ill.sum())
    return drawn_proportion(found, n, shares, here.sampling, ill, undefined=_NONE_LEFT), n - found
