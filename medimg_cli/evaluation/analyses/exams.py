"""Results by exam, where the model decides on exams, and by patient, where patients have several images."""

from dataclasses import replace
from typing import Literal

import numpy as np

from medimg_cli.dataset.manifest import EXAM
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.analyses.contract import contract
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import ExamFigures
from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.results.decisions import PatientLevel, PatientLevels
from medimg_cli.evaluation.summary import missed_of, overall, overall_of_labels, per_class
from medimg_cli.predictions.exams import exam_table
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.runs.run import Exams
from medimg_cli.statistics.sampling import Sampling


@ANALYSES.register("exams")
def exams(subject: Subject) -> ExamFigures | str:
    """Return the figures of exams at the model's pooling and threshold; intervals resample patients."""
    by, here = subject.exams, subject.here
    if EXAM not in here.table:
        return "it is not known which images are of one exam (ingest --exam-col)"
    if by is None:
        return "the model was trained without exams, so no pooling was chosen"
    whole, labels, tuning = _pooled(here, by), here.labels, subject.tuning
    before = None if tuning is None or EXAM not in tuning.table else _pooled(tuning, by)
    promised = contract(replace(subject, here=whole, tuning=before))
    return ExamFigures(
        n=whole.n,
        images=here.n,
        patients=int(whole.table["patient_id"].nunique()),
        source=by.source,
        pooling=by.pooling,
        why=by.why,
        threshold=by.threshold,
        thresholds=by.thresholds,
        class_counts={name: int(view.truth.sum()) for name, view in whole.views.items()},
        metrics=overall_of_labels(whole) if labels.several else overall(whole, ordinal=subject.ordinal),
        per_class=per_class(whole),
        confusion=None if labels.several else whole.confusion(),
        missed=missed_of(whole),
        contract=None if isinstance(promised, str) else promised,
    )


def _pooled(answers: ScoredPredictions, by: Exams) -> ScoredPredictions:
    """Return the answers to the exams of some images; what is drawn are patients as of images."""
    table, images = exam_table(answers.table, answers.labels, by.pooling), answers.sampling
    first = (~answers.table[EXAM].duplicated()).to_numpy()  # an exam is of the patient of its first image
    units = images.unit_of[first] if images.clustered else None
    sampling = Sampling(units, len(table), exact=images.exact, seed=images.seed)
    return ScoredPredictions(table, answers.labels, OperatingPoint(by.threshold, by.thresholds), sampling)


_METRICS = ("recall", "specificity", "precision", "npv", "auroc")
_RULES: tuple[Literal["max", "mean"], ...] = ("max", "mean")


@ANALYSES.register("patient_level")
def patient_level(subject: Subject) -> PatientLevels | str:
    """Return the figures of patients by the highest and by the mean probability of their images."""
    here, decided_on = subject.here, subject.here.positive_threshold
    if isinstance(decided_on, str):
        return decided_on
    positive, threshold = decided_on
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
