"""From a predictions table to all the numbers of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import Evaluation, Leakage
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.remarks import remarks_of, remarks_on_results
from medimg_cli.evaluation.results.decisions import Protocol
from medimg_cli.evaluation.summary import (
    NO_CONFUSION,
    curves_of,
    missed_of,
    overall,
    overall_of_labels,
    per_class,
)
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import Recorded

_CUT = 0.5
_OF_TWO = "AUC of the second class; ACC of the second class above 0.5"
_OF_MANY = "AUC: mean over classes, each against the rest; ACC of the most probable class"
_OF_LABELS = "AUC: mean over labels; ACC: mean over labels of right answers above 0.5"


def medmnist(here: ScoredPredictions) -> Protocol:
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


def evaluation_of(
    subject: Subject,
    *,
    recorded: Recorded,
    leakage: Leakage,
    views: int = 1,
    remarks: Sequence[str] = (),
    exploration: str = "",
) -> Evaluation:
    """Return all numbers of one predictions table.

    Args:
        subject: its answers and what is known around them.
        recorded: names and hashes.
        leakage: what the split shares with others.
        views: of each image that the model was asked about.
        remarks: what a reader must know beside what the table itself shows.
        exploration: that it does not decide as the model does, in words; "" where it does.
    """
    with threadpool_limits(1, "blas"):  # its threads wait for one another on a busy machine
        here = subject.here
        positive, several = here.labels.positive, here.labels.several
        two = len(here.classes) == 2 and not several
        roc, precision_recall = curves_of((here.questions if two else here.views).items())
        metrics = overall_of_labels(here) if several else overall(here, ordinal=subject.ordinal)
        analysed = _analysed(subject)
        return Evaluation(
            **vars(recorded),
            n=here.n,
            patients=int(here.table["patient_id"].nunique()),
            classes=here.classes,
            class_counts={name: int(view.truth.sum()) for name, view in here.views.items()},
            positive=positive,
            threshold=here.point.threshold,
            thresholds=dict(here.point.thresholds),
            several_labels=several,
            unknown_labels={name: here.n - view.n for name, view in here.views.items()} if several else {},
            resampled=here.sampling.unit,
            metrics=metrics,
            per_class=per_class(here),
            missed=missed_of(here),
            leakage=leakage,
            roc=roc,
            precision_recall=precision_recall,
            views=views,
            warnings=(
                *filter(None, [exploration]),
                *remarks_of(here, leakage),
                *remarks_on_results(positive, metrics, analysed.get("calibration")),
                *remarks,
            ),
            exploration=exploration,
            protocol=medmnist(here) if subject.settings.protocol == "medmnist" else None,
            asked=subject.settings.shaping(),
            **_confusions(here),
            **analysed,
        )


def _analysed(subject: Subject) -> dict[str, Any]:
    """Return the result of each analysis by its name, and under `not_run` why the others have none."""
    results: dict[str, Any] = {}
    not_run = {}
    for name in ANALYSES.names():
        found = ANALYSES.get(name)(subject)
        if isinstance(found, str):
            not_run[name] = found
        else:
            results[name] = found
    return results | {"not_run": not_run}


def _confusions(here: ScoredPredictions) -> Mapping[str, Any]:
    """Return the matrix at the decision in force, and beside a threshold the one at the most probable class."""
    if here.labels.several:
        return {"confusion": None, "confusion_absent": NO_CONFUSION}
    found: dict[str, Any] = {"confusion": here.confusion()}
    if here.point.threshold is not None:
        at_argmax = ScoredPredictions(here.table, here.labels, OperatingPoint(), here.sampling)
        found["confusion_at_argmax"] = at_argmax.confusion()
    return found
