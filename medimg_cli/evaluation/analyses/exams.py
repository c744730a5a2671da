"""Results by exam, where the model decides on exams: the headline then."""

from medimg_cli.dataset.manifest import EXAM
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.evaluation import ExamFigures
from medimg_cli.evaluation.multilabel import overall_of_labels
from medimg_cli.evaluation.summary import missed_of, overall, per_class
from medimg_cli.predictions.exams import exam_table
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.sampling import Sampling


@ANALYSES.register("exams")
def exams(subject: Subject) -> ExamFigures | str:
    """Return the figures of exams at the model's pooling and threshold; intervals resample patients."""
    by, here = subject.exams, subject.here
    if EXAM not in here.table:
        return "it is not known which images are of one exam (ingest --exam-col)"
    if by is None:
        return "the model was trained without exams, so no pooling was chosen"
    labels, table = here.labels, exam_table(here.table, here.labels, by.pooling)
    # What is drawn are patients as of images: an exam is of the patient of its first image.
    first = (~here.table[EXAM].duplicated()).to_numpy()
    clustered = here.sampling.clustered
    units = here.sampling.unit_of[first] if clustered else None
    sampling = Sampling(units, len(table), exact=here.sampling.exact, seed=here.sampling.seed)
    whole = Answered(table, labels, OperatingPoint(by.threshold, by.thresholds), sampling)
    positive = labels.positive
    return ExamFigures(
        n=whole.n,
        images=here.n,
        patients=int(table["patient_id"].nunique()),
        source=by.source,
        pooling=by.pooling,
        why=by.why,
        threshold=by.threshold,
        thresholds=by.thresholds,
        class_counts={name: int(view.truth.sum()) for name, view in whole.views.items()},
        metrics=overall_of_labels(whole) if labels.several else overall(whole, ordinal=subject.ordinal),
        per_class=per_class(whole),
        confusion=None if labels.several else whole.confusion(),
        missed=None
        if positive is None
        else missed_of(whole.view_of(positive), table["image_id"].iloc[whole.rows_of(positive)]),
    )
