"""What `predict --dicom-out` writes: the results of every DICOM image, and why others have none."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset

from medimg_cli.errors import UsageError
from medimg_cli.images.archives import read_member
from medimg_cli.images.decoding import foreign_decoder
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import (
    HEAD_BYTES,
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    sniff_format,
    split_frame,
    split_member,
)
from medimg_cli.images.readers import read_image
from medimg_cli.inference.dicom_results import (
    Judged,
    Model,
    NoResult,
    Source,
    answers_as_dicom,
    highdicom_of,
    source_of,
)
from medimg_cli.inference.exam_groups import ExamGroups
from medimg_cli.inference.explaining import HeatMaps, evidence_in, label_of
from medimg_cli.inference.heatmap import Heat
from medimg_cli.inference.result_picture import AnyAnswer
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.workspace.files import atomic_path


@dataclass
class DicomFolder:
    """Writes `SC-UID.dcm` and `SR-UID.dcm` of every image, as soon as its last frame is answered; or of every exam, at the end.

    Args:
        folder: is made where it is missing; what stands there under another UID stays.
        model: that answers.
        maps: gives heat maps; None where none is asked for.
        exams: which images are one; None where each has its own results.

    Attributes:
        written: image or exam → its two files.
        skipped: image or exam → why it has none.
        lacking: how many of these should have some.

    Raises:
        MachineError: highdicom is not installed.
        UsageError: the folder is a file.
    """

    folder: Path
    model: Model
    maps: HeatMaps | None = None
    exams: ExamGroups | None = None
    written: dict[str, tuple[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    lacking: int = 0
    _file: str = ""
    _frames: list[tuple[str, Prediction]] = field(default_factory=list)

    def __post_init__(self) -> None:
        highdicom_of()
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"--dicom-out {self.folder} is a file", "name a folder")

    def tell(self, path: str, prediction: Prediction) -> None:
        """Take the next row of `predict`; raises `MachineError` where results cannot be written."""
        if self.exams is None:
            file, _ = _file_and_frame(path)
            if file != self._file or (self._frames and path == self._frames[0][0]):  # named twice
                self._end_file()
            self._file = file
            self._frames.append((path, prediction))

    def end(self, answers: Sequence[ExamAnswer]) -> None:
        """Write what is left once the last row is told, or the results of the exams."""
        self._end_file()
        if self.exams is None:
            return
        for answer in answers:
            paths = self.exams.paths_of(answer.exam_id)
            shown = answer.driven_by or paths[0]
            self._write(answer.exam_id, [(answer, [shown, *(path for path in paths if path != shown)])])

    def _end_file(self) -> None:
        frames, self._frames = self._frames, []
        if frames:
            self._write(self._file, [(answer, [path]) for path, answer in frames])

    def _write(self, name: str, answers: Sequence[tuple[AnyAnswer, Sequence[str]]]) -> None:
        """Write the results of an image by the answers to its frames, or of an exam by the one to its images."""
        try:
            if all(answer.status == "unreadable" for answer, _ in answers):
                raise NoResult("it could not be read", is_lacking=False)
            made = self._made(answers)
        except (NoResult, UnreadableImage) as error:
            self.skipped[name] = str(error)
            self.lacking += not isinstance(error, NoResult) or error.is_lacking
            return
        files = [f"{kind}-{one.SOPInstanceUID}.dcm" for kind, one in zip(("SC", "SR"), made, strict=True)]
        for one, file in zip(made, files, strict=True):
            _save(one, self.folder / file)
        self.written[name] = (files[0], files[1])

    def _made(self, answers: Sequence[tuple[AnyAnswer, Sequence[str]]]) -> list[Dataset]:
        judged: list[Judged] = []
        known: dict[str, Source] = {}
        for answer, paths in answers:
            images = [_image(paths[0], known)]
            for path in paths[1:]:  # of an exam: what has no UID is not named, but for the one that is shown
                with suppress(NoResult, UnreadableImage):
                    images.append(_image(path, known))
            judged.append(Judged(answer, images))

        def show(number: int) -> tuple[DecodedImage, Heat | None]:
            answer, (path, *_) = answers[number]
            image = read_image(path, ReadOptions(window=card.recipe.window))
            if self.maps is None or answer.status != "ok":
                return image, None
            return image, evidence_in(self.maps.predictor, path, label_of(card, answer), read_image)[1]

        card = self.model.card
        full = (self.maps.explanation.full if self.maps is not None else None) or math.inf
        return answers_as_dicom(judged, self.model, show, full=full)

    def summary(self) -> dict[str, Any]:
        """Return it as the JSON of `predict` has it."""
        files = [
            {"of": name, "secondary_capture": sc, "report": sr} for name, (sc, sr) in self.written.items()
        ]
        skipped = [{"of": name, "reason": reason} for name, reason in self.skipped.items()]
        return {"folder": self.folder, "written": files, "skipped": skipped}


def _file_and_frame(path: str) -> tuple[str, int | None]:
    """Return what a row's path names without its frame, and the number of that, from 0."""
    return (path, None) if Path(path).is_file() else split_frame(path)


def _image(path: str, known: dict[str, Source]) -> tuple[Source, int | None]:
    """Return the source of a row and the number of its frame, from 1; raises `NoResult`."""
    file, number = _file_and_frame(path)
    if file not in known:
        known[file] = source_of(_header(file))
    return known[file], None if number is None else number + 1


def _header(file: str) -> Dataset:
    place, member = (file, None) if Path(file).is_file() else split_member(file)
    with foreign_decoder(), ExitStack() as stack:
        stream: BinaryIO = BytesIO(b"")
        if member is None:
            stream = stack.enter_context(Path(place).open("rb"))
        else:
            stream = BytesIO(read_member(Path(place), member))
        known = sniff_format(stream.read(HEAD_BYTES))
        stream.seek(0)
        header = header_of(stream) if known == "dicom" else None
    if header is None:
        raise NoResult("it is no DICOM file", is_lacking=False)
    return header


def _save(result: Dataset, target: Path) -> None:
    """Write a result, over what an earlier call wrote of the same image and model."""
    if target.is_file():
        there = None
        with suppress(UnreadableImage), foreign_decoder():
            there = header_of(target, ["SOPInstanceUID"]).get("SOPInstanceUID")
        if there != result.SOPInstanceUID:
            what = f"{target} is something else than its name says"
            raise UsageError(what, "move it, or name another folder")
    whole = BytesIO()
    result.save_as(whole, enforce_file_format=True)
    with atomic_path(target) as temporary:  # what the disk refuses pydicom tells with a traceback in its text
        temporary.write_bytes(whole.getbuffer())
