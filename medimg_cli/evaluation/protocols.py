"""The figures of a published benchmark, by its own definitions."""

import numpy as np

from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.results.decisions import Protocol

_CUT = 0.5
_OF_TWO = "AUC of the second class; ACC of the second class above 0.5"
_OF_MANY = "AUC: mean over classes, each against the rest; ACC of the most probable class"
_OF_LABELS = "AUC: mean over labels; ACC: mean over labels of right answers above 0.5"


def medmnist(here: Answered) -> Protocol:
    """Return AUC and ACC as the evaluator of MedMNIST has them (Yang J et al. Sci Data 2023;10:41).

    An answer has to be above 0.5, not only to reach it. Of several labels an image, those nobody judged are left out,
    which that evaluator has no rule for.
    """
    two = len(here.classes) == 2 and not here.labels.several
    asked = [here.views[here.classes[1]]] if two else list(here.views.values())
    areas = [METRICS.get("auroc")(view).value for view in asked]
    known = [area for area in areas if area is not None]
    if here.labels.several or two:
        right = [float(((view.score > _CUT) == view.truth).mean()) for view in asked if view.n]
        complete = len(right) == len(asked)
        acc = float(np.mean(right)) if complete else None
    else:
        acc = float((here.probabilities.argmax(axis=1) == here.truth).mean()) if here.n else None
    return Protocol(
        name="medmnist",
        auc=float(np.mean(known)) if len(known) == len(areas) else None,
        acc=acc,
        definition=_OF_TWO if two else _OF_LABELS if here.labels.several else _OF_MANY,
        reason="" if len(known) == len(areas) else "a class is shown only with or only without",
    )
