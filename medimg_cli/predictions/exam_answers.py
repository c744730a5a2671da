"""The prediction for an exam, from those for its images; the same on the command line and on the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.prediction import Decision, Prediction, Status
from medimg_cli.runs.run import Exams, Pooling

Floats = NDArray[np.float64]
TOP = 3


def _sums(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return values (N, C) summed by exam (E, C)."""
    total = np.zeros((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    np.add.at(total, exam_of, values)
    return total


def _mean(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    return _sums(values, exam_of) / np.bincount(exam_of)[:, None]


def _max(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    highest = np.zeros((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    np.maximum.at(highest, exam_of, values)
    return highest


def _top(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return the mean of the `TOP` highest values of each exam, of all where it has fewer."""
    found = np.empty((int(exam_of.max()) + 1 if len(exam_of) else 0, values.shape[1]))
    for column in range(values.shape[1]):
        order = np.lexsort((-values[:, column], exam_of))
        exams = exam_of[order]
        rank = np.arange(len(exams)) - np.searchsorted(exams, exams)
        kept = order[rank < TOP]
        found[:, column] = _mean(values[kept][:, [column]], exam_of[kept])[:, 0]
    return found


def _noisy_or(values: Floats, exam_of: NDArray[np.int64]) -> Floats:
    """Return 1 − Π(1 − p): that some image is positive, were the images independent."""
    absent: Floats = np.exp(_sums(np.log1p(-np.minimum(values, 1 - 1e-12)), exam_of))
    return 1 - absent


POOLINGS: Mapping[Pooling, Callable[[Floats, NDArray[np.int64]], Floats]] = {
    "mean": _mean,
    "max": _max,
    "top-3 mean": _top,
    "noisy-or": _noisy_or,
}
"""Ways to pool scores (N, C) in 0..1 by exam (N,) into (E, C), the simplest first."""


def pooled(
    probabilities: Floats,
    exam_of: NDArray[np.int64],
    rule: Pooling,
    positive: NDArray[np.bool_],
    *,
    several: bool,
) -> Floats:
    """Return the probabilities (E, C) of E exams.

    One label an image: P(positive) is pooled by the rule; how it is shared among the positive classes, and the rest among
    the others, is as in the mean. Without a positive class each class is pooled, and they are scaled to 1. Several labels:
    each is pooled by itself.

    Args:
        probabilities: (N, C) of the images.
        exam_of: (N,), the exam of each, 0..E − 1, every number at least once.
        positive: (C,), True for the positive classes.
        several: an image may carry several labels.

    >>> p, exam_of = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]]), np.array([0, 0, 1])
    >>> pooled(p, exam_of, "max", np.array([False, True]), several=False)
    array([[0.4, 0.6],
           [0.8, 0.2]])
    """
    of = POOLINGS[rule]
    if several:
        return of(probabilities, exam_of)
    if not positive.any():
        every = of(probabilities, exam_of)
        scaled: Floats = every / every.sum(axis=1, keepdims=True)
        return scaled
    score = of(probabilities[:, positive].sum(axis=1, keepdims=True), exam_of).clip(0, 1)
    found = _mean(probabilities, exam_of)
    for side, whole in ((positive, score), (~positive, 1 - score)):
        part = found[:, side]
        total = part.sum(axis=1, keepdims=True)
        share = np.divide(part, total, out=np.full(part.shape, 1 / side.sum()), where=total > 0)
        found[:, side] = share * whole
    return found


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
        status: Status = "refused" if any(state == "refused" for _, state, _ in answers) else "unreadable"
        nothing = dict.fromkeys(labels.classes)
        return ExamAnswer(
            exam, len(answers), 0, status, None, None, nothing, "refer", None, by.pooling, message
        )
    each = np.array([chances for _, chances in judged])
    whole = pooled(each, np.zeros(len(each), np.int64), by.pooling, labels.is_positive, several=several)
    decided = decide(whole, labels, by.threshold, by.thresholds)
    scores = (
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
        driven_by=judged[int(scores.argmax())][0],
        pooling=by.pooling,
        message=message,
    )


def rule_text(by: Exams) -> str:
    """Return in words how exams are decided on."""
    at = "" if by.threshold is None else f" at {by.threshold.value:.4f} or more ({by.threshold.rule})"
    return f"exams: {by.pooling} of the images' probabilities{at}"
