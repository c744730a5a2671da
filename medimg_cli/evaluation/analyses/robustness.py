"""Recall, specificity and AUROC of disturbed images, and how recall changes."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.group_figures import Brief, asked_about
from medimg_cli.evaluation.recall_change import change_of_recall
from medimg_cli.evaluation.results.surroundings import Disturbed, Robustness
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX
from medimg_cli.preprocessing.corruptions import DISTURBANCES, Disturbance, DisturbedAnswers

ASK = "ask for it with --robustness"
HELD_OUT = "train and val are answered by held-out networks, as training left them; disturb the test split"


@ANALYSES.register("robustness")
def robustness(subject: Subject) -> Robustness | str:
    """Return what blur, noise, brightness, contrast and JPEG do to the answers, at the thresholds in force.

    The same images stand on both sides of each change, so its interval is a paired one.
    """
    if not subject.settings.robustness:
        return ASK
    disturbed = subject.disturbed
    if not isinstance(disturbed, DisturbedAnswers):
        return disturbed
    rows = np.zeros(subject.here.n, dtype=np.bool_)
    rows[disturbed.rows] = True
    answered = subject.here.of(rows)
    over, undefined = asked_about(answered, 1)
    if not over:
        return undefined
    as_it_is = Brief(answered, over)
    return Robustness(
        n=answered.n,
        pixels=disturbed.pixels,
        undisturbed=as_it_is.figures,
        rows=tuple(
            _row(disturbance, as_it_is, Brief(_answering(answered, probabilities), over))
            for disturbance, probabilities in zip(DISTURBANCES, disturbed.probabilities, strict=True)
        ),
    )


def _answering(answered: Answered, probabilities: NDArray[np.float64]) -> Answered:
    """Return the same images with other answers (N, C), decided alike."""
    columns = {
        PROBABILITY_PREFIX + name: probabilities[:, index] for index, name in enumerate(answered.classes)
    }
    return Answered(answered.table.assign(**columns), answered.labels, answered.point, answered.sampling)


def _row(disturbance: Disturbance, as_it_is: Brief, disturbed: Brief) -> Disturbed:
    return Disturbed(
        disturbance=disturbance.name,
        strength=disturbance.strength,
        severity=disturbance.severity,
        metrics=disturbed.figures,
        change=change_of_recall(as_it_is, disturbed),
    )
