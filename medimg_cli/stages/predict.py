"""predict: files, folders and archives → one row each, as soon as it is known."""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.errors import DataError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import image_paths, read_image
from medimg_cli.inference.classifier import Classifier, Prepared
from medimg_cli.predictions.exam_answers import ExamAnswer, kept_of
from medimg_cli.predictions.inputs import Input, list_inputs
from medimg_cli.predictions.prediction import PROBABILITY_PREFIX, Prediction, unreadable
from medimg_cli.predictions.resumable_table import DoneRows, RowFile
from medimg_cli.runs.run import ModelCard
from medimg_cli.workspace.files import atomic_path, sha256_of_text
from medimg_cli.workspace.plain_text import shielded
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import PredictSettings
from medimg_cli.workspace.threads import ENGINE, map_ordered, one_ahead, takes_too_long

if TYPE_CHECKING:  # it loads what reads tables, which images alone need not
    from medimg_cli.inference.exam_groups import ExamGroups

Tell = Callable[[str, Prediction], None]


@dataclass
class PredictResult:
    """What predicting gave, in numbers; of a file that was gone on with, also what it held before.

    Args:
        rows: one an input.
        resumed: how many of them stood in the file already.
        strange: rows of that file whose input is not among those given now; they are kept, and counted nowhere else.
        statuses, labels, decisions, flags: how many rows have which.
        exams: an answer each, () where images stand alone.
    """

    rows: int = 0
    resumed: int = 0
    strange: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    exams: tuple[ExamAnswer, ...] = ()

    @property
    def unreadable(self) -> int:
        """Return how many inputs are no image."""
        return self.statuses["unreadable"]

    def count(self, prediction: Prediction, *, resumed: bool) -> None:
        """Add a row."""
        self.rows += 1
        self.resumed += resumed
        self.statuses[prediction.status] += 1
        self.flags.update(prediction.flags)
        if prediction.label is not None:
            self.labels.update(prediction.label.split(LABEL_SEP))
        if prediction.decision is not None:
            self.decisions[prediction.decision] += 1


def predict(
    classifier: Classifier,
    named: Iterable[str | Path],
    settings: PredictSettings,
    *,
    out: Path | None = None,
    resume: bool = False,
    exams: "ExamGroups | None" = None,
    tell: Tell = lambda _path, _prediction: None,
    progress: Progress = SilentProgress(),
) -> PredictResult:
    """Predict every file named, below every folder named, and in every archive named; a row each, in their order.

    Of a file of several frames, pages or arrays every image is a row. Memory does not grow with their number, but for
    exams: of these the probabilities of all images are kept, and once all are known a row each is written to
    `<out>-exams.csv`.

    Args:
        classifier: answers.
        named: files, folders, archives; one that does not exist still gets its row. What is no sequence, such as a list
            that somebody is still writing, is gone through once, and progress then has no end in sight.
        settings: views, batch size and decoding threads.
        out: also write the rows there, each as it is known; `.csv` or `.jsonl` by its suffix.
        resume: go on with the rows that `out` has.
        exams: which images are one exam; None = nobody asks.
        tell: called with every row, in order, also of those that `out` has.
        progress: notified of every file.

    Raises:
        UsageError: `out` has another suffix, or holds what cannot be gone on with.
        DataError: there is nothing to predict.
        MachineError: `out` cannot be written.
    """
    rows = None
    if out is not None:
        rows = RowFile(out, classifier.card.classes, model_key(classifier.card, settings), resume=resume)
    result = PredictResult()
    # Images are measured in threads: threads of BLAS beside them only took processor time, 37 instead of 27 s of 1,000 images.
    with rows or nullcontext(), threadpool_limits(1, "blas"):
        done = DoneRows(rows.done() if rows else iter(()))
        for batch in _batches(classifier, named, settings, done, exams, progress):
            for image, prediction in batch:
                if rows is not None and image.earlier is None:
                    rows.write(image.path, prediction)
                result.count(prediction, resumed=image.earlier is not None)
                if exams is not None:
                    exams.add(image.exam, kept_of(image.path, prediction))
                tell(image.path, prediction)
            if rows is not None:
                rows.flush()
        result.strange = done.left
    if not result.rows:
        shown = ", ".join(map(str, named)) if isinstance(named, Sequence) else "the list"
        raise DataError(f"no file in {shown}", "name image files, or folders or archives that hold some")
    if exams is not None:
        result.exams = tuple(exams.answers())
        if out is not None:
            _write_exams(out.with_name(f"{out.stem}-exams.csv"), result.exams)
    return result


def _write_exams(path: Path, answers: Sequence[ExamAnswer]) -> None:
    """Write a row for each exam, without the library that tables are made with elsewhere: it costs half a second."""
    rows: list[dict[str, object]] = []
    for answer in answers:
        cells = {name: "" if value is None else value for name, value in answer.entry().items()}
        del cells["probabilities"]
        chances = {f"{PROBABILITY_PREFIX}{name}": value for name, value in answer.probabilities.items()}
        rows.append(cells | chances)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow(
                {name: shielded(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
            )


def model_key(card: ModelCard, settings: PredictSettings) -> str:
    """Return 16 hex digits that differ wherever answers may: of the whole model card, and of what `--tta` does."""
    whole = json.dumps({"card": card.model_dump(mode="json"), "tta": settings.tta}, sort_keys=True)
    return sha256_of_text(whole)[:16]


@dataclass(frozen=True, slots=True)
class _Image:
    """One row to be.

    Args:
        path: what `read_image` opens.
        fault: why it is no image, where that is known.
        earlier: its prediction, where that is known.
        exam: that it is of, "" where it stands alone.
        files: 1 for the first image of a file, 0 for its others: progress counts files.
    """

    path: str
    fault: str
    earlier: Prediction | None
    files: int
    exam: str = ""


_Prepared = tuple[_Image, Prepared | Prediction]


def _batches(
    classifier: Classifier,
    named: Iterable[str | Path],
    settings: PredictSettings,
    done: DoneRows,
    exams: "ExamGroups | None",
    progress: Progress,
) -> Iterator[list[tuple[_Image, Prediction]]]:
    """Yield every image with its prediction, in order, some at a time."""
    total = sum(1 for _ in list_inputs(named)) if isinstance(named, Sequence) else None
    seconds, workers = settings.decode_seconds, settings.workers
    by_header = exams if exams is not None and exams.needs_facts else None
    whole = ENGINE.get() is not None  # then a batch is prepared and answered in one place, maybe elsewhere
    preparer = _Preparer(classifier, takes_too_long(seconds), by_header, str(Path.cwd()) if whole else "")
    by_path = exams if by_header is None else None
    images = _images(named, done, settings, by_path)
    prepare = partial(map_ordered, preparer, workers=workers, seconds=seconds, late=preparer.late)
    prepared: Generator[Any, None, None] = images if whole else prepare(images)
    progress.start("predict", total)
    try:
        batches = iter(lambda: list(islice(prepared, settings.batch_size)), [])
        if whole:
            answer = partial(_prepared_and_answered, classifier, prepare)
            answered = map_ordered(answer, batches, workers=1, task="predict")
        else:
            answered = one_ahead(partial(_answered, classifier), batches)
        for batch in answered:
            yield batch
            progress.advance(sum(image.files for image, _ in batch))
    finally:
        prepared.close()
        progress.finish()


def _images(
    named: Iterable[str | Path], done: DoneRows, settings: PredictSettings, by_path: "ExamGroups | None"
) -> Generator[_Image, None, None]:
    seconds = settings.decode_seconds
    for file, paths in map_ordered(
        _with_images,
        list_inputs(named),
        workers=settings.workers,
        seconds=seconds,
        late=lambda file: (replace(file, fault=takes_too_long(seconds)), (file.path,)),
    ):
        for number, path in enumerate(paths):
            exam = by_path.of(path, {}) if by_path is not None else ""
            yield _Image(path, file.fault, done.of(path), files=int(number == 0), exam=exam)


def _with_images(file: Input) -> tuple[Input, Iterable[str]]:
    return file, (file.path,) if file.fault else image_paths(file.path)


class _Preparer:
    """Turns an image into what the classifier takes, or into its row where there is nothing to classify."""

    def __init__(
        self, classifier: Classifier, too_long: str, by_header: "ExamGroups | None", folder: str
    ) -> None:
        self._judge, self._folder = classifier, folder
        self._too_long, self._by_header = too_long, by_header
        self._options = classifier.card.recipe.read_options

    def __call__(self, image: _Image) -> _Prepared:
        by_header = self._by_header
        if image.earlier is not None and by_header is None:
            return image, image.earlier
        if image.fault:
            return image, image.earlier or self._unreadable(image.fault)
        try:
            read = read_image(os.path.join(self._folder, image.path), self._options)  # noqa: PTH118 -- "./" stays
        except UnreadableImage as error:
            return image, image.earlier or self._unreadable(str(error))
        if by_header is not None:
            image = replace(image, exam=by_header.of(image.path, read.facts))
        return image, image.earlier or self._judge.prepare(read)

    def late(self, image: _Image) -> _Prepared:
        """Return the row of an image that is given up."""
        return image, image.earlier or self._unreadable(self._too_long)

    def _unreadable(self, reason: str) -> Prediction:
        return unreadable(self._judge.card.classes, reason)


def _prepared_and_answered(
    classifier: Classifier,
    prepare: Callable[[Iterable[_Image]], Iterator[_Prepared]],
    images: Sequence[_Image],
) -> list[tuple[_Image, Prediction]]:
    return _answered(classifier, list(prepare(images)))


def _answered(classifier: Classifier, batch: Sequence[_Prepared]) -> list[tuple[_Image, Prediction]]:
    """Return the batch with a prediction for each image that had none yet."""
    given = iter(classifier([what for _, what in batch if not isinstance(what, Prediction)]))
    return [(image, what if isinstance(what, Prediction) else next(given)) for image, what in batch]
