"""Results by patient, where patients have several images: whom the model would have called."""

from typing import Literal

import numpy as np

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.results.decisions import PatientLevel, PatientLevels
from medimg_cli.statistics.sampling import Sampling

_METRICS = ("recall", "specificity", "precision", "npv", "auroc")
_RULES: tuple[Literal["max", "mean"], ...] = ("max", "mean")


@ANALYSES.register("patient_level")
def patient_level(subject: Subject) -> PatientLevels | str:
    """Return the figures of patients by the highest and by the mean probability of their images."""
    here, positive = subject.here, subject.here.labels.positive
    if positive is None:
        return "no positive class was stated"
    threshold = here.point.thresholds.get(positive) if here.labels.several else here.point.threshold
    if threshold is None:
        return f"no threshold decides on {positive}"
    view = here.view_of(positive)
    if not view.sampling.clustered:
        return "patients are not known, or none has several images"
    patients = here.table["patient_id"].iloc[here.rows_of(positive)].astype(str).to_numpy()
    _, first = np.unique(view.sampling.unit_of, return_index=True)
    levels = tuple(_level(view, rule, threshold.value, patients[first].tolist()) for rule in _RULES)
    return PatientLevels(positive=positive, levels=levels)


def _level(
    view: OneVsRest, rule: Literal["max", "mean"], threshold: float, patients: list[str]
) -> PatientLevel:
    """Return the figures of P patients, each of whom counts once.

    Args:
        view: the class against the rest, image by image.
        patients: (P,) ids in the order of the units of its sampling.
    """
    unit_of, units = view.sampling.unit_of, view.sampling.units
    truth = np.bincount(unit_of, weights=view.truth, minlength=units) > 0
    if rule == "max":
        score = np.zeros(units)
        np.maximum.at(score, unit_of, view.score)
    else:
        score = np.bincount(unit_of, weights=view.score) / np.bincount(unit_of)
    by_patient = OneVsRest(truth, score, score >= threshold, Sampling(None, units, exact=view.sampling.exact))
    missed = np.flatnonzero(truth & ~by_patient.called)
    return PatientLevel(
        rule=rule,
        n=units,
        positives=int(truth.sum()),
        metrics={name: METRICS.get(name)(by_patient) for name in _METRICS},
        missed=tuple(patients[place] for place in missed[np.argsort(score[missed], kind="stable")]),
    )
