"""Which of the images that are predicted are of one exam."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medimg_cli.dataset.exams import UIDS, exam_key
from medimg_cli.dataset.layouts.labels_file import guess_column, require_column
from medimg_cli.errors import UsageError
from medimg_cli.images.image import split_member
from medimg_cli.predictions.exam_answers import NO_EXAMS, Answer, ExamAnswer, answer_of_exam
from medimg_cli.runs.run import ModelCard
from medimg_cli.workspace.spreadsheets import read_spreadsheet

Facts = Mapping[str, str]


@dataclass
class ExamGroups:
    """Images by exam, and the answers to these.

    Args:
        of: the exam of an image by its path and what its reader found; "" = it is one of its own.
        needs_facts: the path alone does not tell.
    """

    card: ModelCard
    of: Callable[[str, Facts], str]
    needs_facts: bool = False
    _answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def add(self, exam: str, answer: Answer) -> None:
        """Add the prediction of an image."""
        self._answers[exam or answer[0]].append(answer)

    def paths_of(self, exam: str) -> list[str]:
        """Return the images of an exam that was answered, by its name there."""
        return [path for path, _, _ in self._answers[exam]]

    def answers(self) -> Iterator[ExamAnswer]:
        """Yield the answer to each exam, in the order of their first images."""
        by = self.card.exams
        if by is None:
            raise NO_EXAMS
        for exam, answers in self._answers.items():
            yield answer_of_exam(exam, answers, by, self.card.labels)


def exam_groups(card: ModelCard, asked: str | None) -> ExamGroups | None:
    """Return how images are put together; None where nobody asked and the model's own way is a column of its table.

    Args:
        asked: study, series, patient (DICOM), folder, file, or TABLE:COLUMN.

    Raises:
        UsageError: it is none of these, or the model was trained without exams.
        DataError: the table cannot be read.
    """
    if card.exams is None:
        if asked is not None:
            raise NO_EXAMS
        return None
    asked = card.exams.source if asked is None else asked
    key = exam_key(asked)
    if key == "none" or asked.startswith("column "):
        return None
    if key == "folder":
        return ExamGroups(card, lambda path, _: PurePosixPath(_file_of(path)).parent.as_posix())
    if key == "file":
        return ExamGroups(card, lambda path, _: _file_of(path))
    if key is not None:
        fact = UIDS.get(key, "patient_id")
        return ExamGroups(card, lambda _, facts: facts.get(fact, ""), needs_facts=True)
    table, colon, column = asked.rpartition(":")
    if not colon:
        raise UsageError(
            f"--exam {asked} is no way to tell exams", "study, series, patient, folder, file or TABLE:COLUMN"
        )
    return ExamGroups(card, _by_table(Path(table), column))


def _file_of(path: str) -> str:
    return split_member(path)[0] if "#" in path and not Path(path).is_file() else path


def _by_table(path: Path, column: str) -> Callable[[str, Facts], str]:
    """Return exams by a table: the row whose file name is the end of an image's path, the longest where several are."""
    table = read_spreadsheet(path, named=[column], called="--exam")
    require_column(table, column, "--exam")
    image = str(guess_column(table, "image", [column], required=True))
    rows: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for _, cells in table.rows:
        parts = PurePosixPath(cells[image].replace("\\", "/")).parts
        if parts:
            rows.setdefault(parts[-1], []).append((parts, cells[column]))

    def exam(path: str, _: Facts) -> str:
        parts = PurePosixPath(_file_of(path)).parts
        near = rows.get(parts[-1]) or rows.get(PurePosixPath(parts[-1]).stem) or []
        fitting = [(len(own), found) for own, found in near if parts[-len(own) :][:-1] == own[:-1]]
        return max(fitting)[1] if fitting else ""

    return exam
