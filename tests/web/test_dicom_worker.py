"""What the process of a DICOM node makes of stored objects, with a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage

from medimg_cli.inference.dicom_results import MAKER
from medimg_cli.inference.load import Opened, open_model
from medimg_cli.runs.run import Exams
from medimg_cli.runs.run_folders import find_run
from medimg_cli.web.dicom.queue import Ask, Done, key_of
from medimg_cli.web.dicom.worker import _Answerer
from medimg_cli.web.serving.worker_config import Address, Limits, Plan
from medimg_cli.workspace.serve_settings import ServeSettings
from medimg_cli.workspace.workspace import Workspace
from tests.web.dicom_peer import encoded, image, source_of_result

EXAMS = Exams(source="StudyInstanceUID", pooling="max", why="", threshold=None)


class Answering:
    """An answerer and the folders around it."""

    def __init__(
        self, place: Path, folder: Path, *, exams: Exams | None = None, log: Path | None = None
    ) -> None:
        self._exams, self._folder = exams, folder
        plan = Plan(place, self._open, Address("127.0.0.1", 0), Limits(), ServeSettings(audit_log=log), None)
        self._answerer = _Answerer(plan)
        self.results = folder / "results"
        self.results.mkdir()

    def _open(self, place: Path) -> Opened:
        opened = open_model(place)
        assert opened is not None
        classifier = opened.classifier
        classifier.card = classifier.card.model_copy(update={"exams": self._exams})
        return opened

    def keep(self, dataset: Dataset, *, uid: str | None = None) -> Path:
        """Write an object as the queue keeps it."""
        path = self._folder / f"{key_of(uid or str(dataset.SOPInstanceUID))}.dcm"
        path.write_bytes(encoded(dataset))
        return path

    def answer(self, paths: Sequence[Path], unread: int = 0) -> tuple[Done, list[Dataset]]:
        """Return what became of objects, and the results."""
        done = self._answerer(Ask(tuple(paths), self.results, unread), lambda _: None)
        return done, [dcmread(path) for path in sorted(self.results.iterdir())]

    def exam_of(self, path: Path) -> Done:
        return self._answerer(Ask((path,), None), lambda _: None)


@pytest.fixture
def place(trained: Workspace) -> Path:
    return find_run(trained, None).folder


def text_of(report: Dataset) -> str:
    """Return all comments of a structured report."""
    return " ".join(str(item.get("TextValue", "")) for item in report.ContentSequence)


def test_images_of_a_study_are_one_exam_and_have_one_answer_that_counts_what_could_not_be_read(
    place: Path, tmp_path: Path
) -> None:
    answering = Answering(place, tmp_path, exams=EXAMS)
    paths = [answering.keep(image(number, study="1.2.3")) for number in range(3)]
    damaged = answering.keep(image(9, study="1.2.3", PixelData=b"\0\0"))
    assert {answering.exam_of(path).exam for path in (*paths, damaged)} == {key_of("1.2.3")}
    assert answering.exam_of(answering.keep(image(4))).exam != key_of("1.2.3")
    done, results = answering.answer([*paths, damaged], unread=1)
    assert [*done.unread] == [damaged.stem]
    assert done.images + done.refused == 3
    assert len(results) == 2
    evidence = results[1].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(evidence.ReferencedSOPSequence) == 3
    assert "2 of 5 images were not answered" in text_of(results[1])


def test_every_frame_of_an_object_is_answered(place: Path, tmp_path: Path) -> None:
    answering = Answering(place, tmp_path)
    frames = np.stack([np.frombuffer(image(number).PixelData, np.uint8) for number in (1, 2)])
    several = image(1, NumberOfFrames=2, PixelData=frames.tobytes())
    several.SOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    several.file_meta.MediaStorageSOPClassUID = several.SOPClassUID
    done, results = answering.answer([answering.keep(several)])
    assert (done.images + done.refused, done.unread) == (2, {})
    assert "Frame 1" in text_of(results[1])
    assert "Frame 2" in text_of(results[1])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"NumberOfFrames": 65, "PixelData": bytes(65 * 32 * 32)}, "more than 64"),
        ({"PixelData": b"\0\0"}, ""),
        ({"Rows": 60_000, "Columns": 60_000}, ""),
        ({"StudyInstanceUID": ""}, "StudyInstanceUID"),
    ],
)
def test_what_cannot_be_answered_has_a_reason_that_names_nobody(
    wrong: dict[str, Any], reason: str, place: Path, tmp_path: Path
) -> None:
    answering = Answering(place, tmp_path)
    path = answering.keep(image(1, **wrong))
    done, results = answering.answer([path])
    assert results == []
    assert reason in done.unread[path.stem]
    assert "Doe" not in done.unread[path.stem]


def test_an_object_under_another_uid_than_its_own_is_not_answered(place: Path, tmp_path: Path) -> None:
    answering = Answering(place, tmp_path)
    path = answering.keep(image(1), uid="1.2.3")
    assert "not the one it was sent under" in answering.answer([path])[0].unread[path.stem]
    (tmp_path / f"{key_of('1.2.4')}.dcm").write_bytes(b"\0" * 500)
    assert answering.answer([tmp_path / f"{key_of('1.2.4')}.dcm"])[0].unread


def test_own_results_are_told_apart(place: Path, tmp_path: Path) -> None:
    answering = Answering(place, tmp_path, exams=EXAMS)
    own = answering.keep(image(1, Manufacturer=MAKER))
    assert answering.exam_of(own).own
    assert answering.answer([own])[0].own


def test_the_same_object_has_the_same_results_and_nothing_leaves_that_is_not_recorded(
    place: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    answering = Answering(place, tmp_path, log=log)
    path = answering.keep(image(1))
    first = answering.answer([path])[1]
    again = answering.answer([path])[1]
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in again]
    assert {source_of_result(one) for one in first} == {str(image(1).SOPInstanceUID)}
    log.unlink()
    for result in answering.results.iterdir():
        result.unlink()
    done, results = answering.answer([path])
    assert done.later
    assert results == []
