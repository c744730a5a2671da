"""What a model says of an exam, from what it said of its images; the same on the command line and on the page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.pooling import pooled
from medimg_cli.predictions.prediction import Decision, Prediction, Status
from medimg_cli.runs.run import Exams

NO_EXAMS = UsageError(
    "the model answers images alone: it was trained without exams, so no pooling was chosen",
    "ingest with --exam-col and train again",
)


@dataclass(frozen=True)
class ExamAnswer:
    """The answer to one exam.

    Args:
        images, judged: how many it has, and how many of them were answered: those that were refused or could not be read
            count in nothing.
        status: ok where some image was answered; else refused, or unreadable where no image could be read.
        decision: a negative of an exam that was not judged whole is "refer": what it lacks may show the disease.
        driven_by: the path of the image that is most probably positive; None where none was answered.
        pooling: of the images' probabilities.
        message: what a reader must know, "" otherwise.
    """

    exam_id: str
    images: int
    judged: int
    status: Status
    label: str | None
    confidence: float | None
    probabilities: Mapping[str, float | None]
    decision: Decision | None
    driven_by: str | None
    pooling: str
    message: str = ""

    def entry(self) -> dict[str, Any]:
        """Return it as the JSON of `predict` and of the page's API has it."""
        return asdict(self) | {"probabilities": dict(self.probabilities), "message": self.message or None}


Answer = tuple[str, Status, tuple[float, ...]]
"""Of one image: path, status, and the probabilities (C,) where it was answered."""


def kept_of(path: str, prediction: Prediction) -> Answer:
    """Return what of an image's prediction its exam needs."""
    known = prediction.status == "ok"
    return (
        path,
        prediction.status,
        tuple(p or 0.0 for p in prediction.probabilities.values()) if known else (),
    )


def answer_of_exam(exam: str, answers: Sequence[Answer], by: Exams, labels: LabelSpace) -> ExamAnswer:
    """Return the answer to an exam of N images, N at least 1, of a model with these classes that decides on exams so."""
    judged = [(path, chances) for path, status, chances in answers if status == "ok"]
    left, several = len(answers) - len(judged), labels.several
    message = f"{left} of {len(answers)} images were not answered" if left else ""
    if not judged:
        status: Status = "refused" if any(said == "refused" for _, said, _ in answers) else "unreadable"
        nothing = dict.fromkeys(labels.classes)
        return ExamAnswer(
            exam, len(answers), 0, status, None, None, nothing, "refer", None, by.pooling, message
        )
    each = np.array([chances for _, chances in judged])
    whole = pooled(each, np.zeros(len(each), np.int64), by.pooling, labels.is_positive, several=several)
    decided = decide(whole, labels, by.threshold, by.thresholds)
    told = (
        each.max(axis=1)
        if several
        else labels.positive_score(each)
        if labels.positives
        else each[:, decided.called[0]]
    )
    decision: Decision | None = decided.decisions[0] or None
    if left and decision == "negative":
        decision, message = "refer", f"{message}: a negative of the rest is none of the exam"
    return ExamAnswer(
        exam_id=exam,
        images=len(answers),
        judged=len(judged),
        status="ok",
        label=decided.names[0],
        confidence=float(whole.max() if several else whole[0, decided.called[0]]),
        probabilities=dict(zip(labels.classes, whole[0].tolist(), strict=True)),
        decision=decision,
        driven_by=judged[int(told.argmax())][0],
        pooling=by.pooling,
        message=message,
    )


def said_of_rule(by: Exams) -> str:
    """Return in words how exams are decided on."""
    at = "" if by.threshold is None else f" at {by.threshold.value:.4f} or more ({by.threshold.rule})"
    return f"exams: {by.pooling} of the images' probabilities{at}"
