"""The process that answers what a DICOM node has stored: it may be killed at any time, for objects come from strangers."""

import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path

from pydicom.dataset import Dataset
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.errors import MedimgError, RunError
from medimg_cli.images.decoding import foreign_decoder
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.inference.dicom_results import (
    MAKER,
    Judged,
    Model,
    NoResult,
    Source,
    answers_as_dicom,
    source_of,
)
from medimg_cli.predictions.exam_answers import answer_of_exam, kept_of
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.web.dicom.queue import Ask, Done, key_of
from medimg_cli.web.serving.audit_log import AuditLog
from medimg_cli.web.serving.pictures import member_of
from medimg_cli.web.serving.refusals import Refusal
from medimg_cli.web.serving.supervisor import READY
from medimg_cli.web.serving.uploads import Upload
from medimg_cli.web.serving.worker import engine_of
from medimg_cli.web.serving.worker_config import Plan
from medimg_cli.workspace.files import synced

_EXAM_OF = {"SeriesInstanceUID": "SeriesInstanceUID", "patient": "PatientID"}
"""What an exam was in training → the attribute that tells one here; StudyInstanceUID for all else."""


def work(plan: Plan, pipe: Connection) -> None:
    """Load the model, say so, and answer one `Ask` after the other; the key of each object is said as it begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answerer = _Answerer(plan)
    except MedimgError as error:
        pipe.send(("error", type(error), error.what, error.hint))
        os._exit(int(error.exit_code))
    except MemoryError:
        pipe.send(("error", RunError, f"{plan.place} needs more memory than there is", "free some"))
        os._exit(int(RunError.exit_code))
    pipe.send((READY, None, "exams" if answerer.answers_exams else "", ""))
    with threadpool_limits(1, "blas"):
        while True:
            try:
                pipe.send(answerer(pipe.recv(), pipe.send))
            except (EOFError, BrokenPipeError):  # whoever asks has ended
                os._exit(0)


@dataclass(frozen=True)
class _Read:
    """One image of an object, with what the model says of it; without its bytes, for an exam may have thousands."""

    path: Path
    sha256: str
    member: str | None
    source: Source
    frame: int | None
    prediction: Prediction


class _Answerer:
    def __init__(self, plan: Plan) -> None:
        opened = plan.open(plan.place)
        self._most_images = plan.limits.images
        self._card = opened.classifier.card
        self._engine = engine_of(plan, opened)
        name = str(self._engine.facts["run"])
        self._model = Model(self._card, name, opened.tested, plan.codes)
        log = plan.settings.audit_log
        self._audit = None if log is None else AuditLog(log, self._card.weights_sha256)

    @property
    def answers_exams(self) -> bool:
        return self._card.exams is not None

    def __call__(self, ask: Ask, say: Callable[[str], None]) -> Done:
        try:
            return self._exam_of(ask.objects[0]) if ask.folder is None else self._answer(ask, ask.folder, say)
        except Refusal as refusal:  # of the audit log
            return Done(later=refusal.detail)
        except OSError as error:
            return Done(later=f"the results cannot be written: {error.strerror or type(error).__name__}")

    def _exam_of(self, path: Path) -> Done:
        try:
            header = _header(path.stem, _upload_of(path).stream())
        except UnreadableImage as reason:
            return Done(unread={path.stem: mask_identities(str(reason))})
        by = self._card.exams
        value = header.get(_EXAM_OF.get(by.source if by else "", "StudyInstanceUID"))
        return Done(exam=key_of(str(value)) if value else path.stem, own=_is_own(header))

    def _answer(self, ask: Ask, folder: Path, say: Callable[[str], None]) -> Done:
        read: list[_Read] = []
        unread: dict[str, str] = {}
        for path in ask.objects:
            say(path.stem)
            try:
                upload = _upload_of(path)
                header = _header(path.stem, upload.stream())
                if _is_own(header):
                    return Done(own=True)
                read += self._images(path, upload, source_of(header))
            except (UnreadableImage, NoResult) as reason:
                unread[path.stem] = mask_identities(str(reason))
        if read:
            if self._audit is not None:
                lines = [(one.sha256, one.member, one.prediction) for one in read]
                self._audit.write(folder.name, "dicom", lines)
            self._write(read, ask.unread + len(unread), folder)
        answered = sum(one.prediction.status == "ok" for one in read)
        return Done(unread=unread, images=answered, refused=len(read) - answered)

    def _images(self, path: Path, upload: Upload, source: Source) -> list[_Read]:
        """Return all images of an object, answered as `predict` does; raises `UnreadableImage` where none can be read."""
        count = self._engine.frames(upload)
        if count > self._most_images:
            raise UnreadableImage(f"it has {count} frames, more than {self._most_images} (serve.max_images)")
        found, last = [], None
        for number in range(count):
            member = member_of(upload, count, number)
            try:
                answer = self._engine.classify([self._engine.prepare(upload, member)])[0]
            except UnreadableImage as reason:
                answer, last = self._engine.unreadable(str(reason)), reason
            frame = None if count == 1 else number + 1
            found.append(_Read(path, upload.sha256, member, source, frame, answer))
        if last is not None and all(one.prediction.status == "unreadable" for one in found):
            raise last
        return found

    def _write(self, read: Sequence[_Read], unread: int, folder: Path) -> None:
        """Write the results, on the disk when this returns."""
        if self._card.exams is None:
            shown, judged = read, [Judged(one.prediction, [(one.source, one.frame)]) for one in read]
        else:
            kept = [kept_of(str(place), one.prediction) for place, one in enumerate(read)]
            kept += [(f"unread {number}", "unreadable", ()) for number in range(unread)]
            exam = answer_of_exam("", kept, self._card.exams, self._card.labels)
            first = read[int(exam.driven_by or 0)]
            shown = [first, *(one for one in read if one is not first)]
            judged = [Judged(exam, [(one.source, one.frame) for one in shown])]

        def show(place: int) -> tuple[DecodedImage, None]:
            one = shown[place]
            return self._engine.read(_upload_of(one.path), one.member, self._card.recipe.window), None

        for number, result in enumerate(answers_as_dicom(judged, self._model, show)):
            path = folder / f"{number}.dcm"
            result.save_as(path, enforce_file_format=True)
            synced(path)


def _upload_of(path: Path) -> Upload:
    data = path.read_bytes()
    return Upload("", memoryview(data), hashlib.sha256(data).hexdigest(), "dicom")


def _header(key: str, stream: BytesIO) -> Dataset:
    """Return the header of an object; raises `UnreadableImage` where it is none, or another than it was sent as."""
    with foreign_decoder():
        header = header_of(stream)
        uid = str(header.get("SOPInstanceUID", ""))
    if key_of(uid) != key:
        raise UnreadableImage("its SOP Instance UID is not the one it was sent under")
    return header


def _is_own(header: Dataset) -> bool:
    """Return whether an object is a result of this program that was routed back: answering it would never end."""
    return str(header.get("Manufacturer", "")) == MAKER
