"""Figures by exam, where the model decides on exams."""

from dataclasses import replace

from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.exams import exams
from medimg_cli.evaluation.evaluation import ExamFigures
from medimg_cli.runs.run import Exams, Threshold
from tests.evaluation.subjects import two_classes

BY = Exams(
    source="folder",
    pooling="max",
    why="",
    threshold=Threshold(value=0.7, rule="", split="val", achieved_recall=1, achieved_specificity=None),
)


def subject(by: Exams | None = BY) -> Subject:
    truth = [True, True, True, True, False, False, False, False]
    score = [0.1, 0.9, 0.2, 0.6, 0.3, 0.4, 0.8, 0.1]
    found = two_classes(truth, score, patients=list("aabbccdd"))
    table = found.here.table.assign(exam_id=list("AABBCCDD"), split="test")
    if "patient_id" not in table:
        table = table.assign(patient_id=list("aabbccdd"))
    return replace(found, here=replace(found.here, table=table), exams=by)


def test_exams_are_decided_at_their_own_pooling_and_threshold() -> None:
    found = exams(subject())
    assert isinstance(found, ExamFigures)
    assert (found.n, found.images, found.pooling) == (4, 8, "max")
    assert found.missed is not None and (found.missed.count, found.missed.of) == (1, 2)
    assert found.missed.ids == ("B",)
    assert found.metrics["recall"].value == 0.5 and found.metrics["recall"].n == 2
    assert found.confusion is not None and found.confusion.matrix == ((1, 1), (1, 1))


def test_without_exams_or_a_pooling_there_is_a_reason() -> None:
    plain = subject()
    lacking = replace(plain, here=replace(plain.here, table=plain.here.table.drop(columns="exam_id")))
    assert "not known" in str(exams(lacking))
    assert "no pooling was chosen" in str(exams(subject(None)))


def test_the_target_is_judged_on_exams_and_the_change_is_one_of_exams() -> None:
    aimed = BY.model_copy(update={"threshold": BY.threshold.model_copy(update={"target_recall": 0.95})})  # type: ignore[union-attr]
    images = subject(aimed)
    found = exams(replace(images, tuning=images.here))
    assert isinstance(found, ExamFigures) and found.contract is not None
    recall = found.metrics["recall"]
    assert found.contract.verdict == ("missed" if (recall.high or 1) < 0.95 else "cannot be told")
    assert found.contract.change["recall"].here == recall
    assert found.contract.change["recall"].difference.value == 0
