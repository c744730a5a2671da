"""What `medimg predict` shows: every row where they are few, else how many there are of each kind."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from medimg_cli.cli.views.render import json_text, plain_table, stdout_console
from medimg_cli.predictions.decide import telling_decimals
from medimg_cli.predictions.exam_answers import ExamAnswer, rule_text
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.workspace.plain_text import plural, visible_line

if TYPE_CHECKING:
    from medimg_cli.inference.dicom_folder import DicomFolder
    from medimg_cli.runs.run import ModelCard
    from medimg_cli.runs.tested import Figure, Tested
    from medimg_cli.stages.predict import PredictResult

MOST_ROWS = 40
_MOST_FAULTS = 3
"""Of either kind, refused and unreadable, that a long job's end names."""
_NOTICE = "decision support for research, not for diagnosis: a clinician must review every result"


class PredictionTable:
    """Rows for people.

    Up to `MOST_ROWS` stand in one table. Of more, a terminal is shown what they add up to, and a pipe gets each as a line
    of its own, as wide as the first ones need it.

    Args:
        card: of the model that answers.
        tested: what test said of it, None where it was not tested as it answers.
    """

    def __init__(self, card: "ModelCard", tested: "Tested | None" = None) -> None:
        self._card, self._tested = card, tested
        self._console = stdout_console()
        self._first: list[tuple[str, Prediction]] = []
        self._faults: dict[str, list[tuple[str, Prediction]]] = {"refused": [], "unreadable": []}
        self._widths: tuple[int, ...] = ()
        self._columns = ("file", "class", f">{_asked_of(card)}", "decision", "note")
        self._rows, self._decimals = 0, 4  # of the threshold: the most that any row needs to be told from it

    def tell(self, path: str, prediction: Prediction) -> None:
        """Take a row."""
        self._rows += 1
        if prediction.status != "ok" and len(self._faults[prediction.status]) < _MOST_FAULTS:
            self._faults[prediction.status].append((path, prediction))
        if self._rows <= MOST_ROWS:
            self._first.append((path, prediction))
        elif not self._console.is_terminal:
            self._say_lines(path, prediction)

    def end(self, result: "PredictResult", out: Path | None, dicom: "DicomFolder | None" = None) -> None:
        """Show what there is to show, and what the decisions mean."""
        if self._rows <= MOST_ROWS:
            self._console.print(self._table())
        elif self._console.is_terminal:
            self._console.print(_sums(self._card, result))
            self._say_faults(result)
        if result.exams and self._card.exams is not None:
            self._console.print()
            self._console.print(_exams(result.exams))
            self._console.print(rule_text(self._card.exams), markup=False)
        self._console.print()
        for line in _in_words(self._card, self._tested, result, self._decimals):
            self._console.print(line)
        if out is not None:
            self._console.print(f"rows: {out}", markup=False)
        if dicom is not None:
            self._say_dicom(dicom)
        self._console.print(f"[dim]{_NOTICE}[/dim]")

    def _say_dicom(self, dicom: "DicomFolder") -> None:
        """Say what has results as DICOM objects, and of the rest why not: each reason with the first it is of."""
        words = f"DICOM results: {len(dicom.written):,} of {len(dicom.written) + len(dicom.skipped):,} in {dicom.folder}"
        self._console.print(words, markup=False)
        first: dict[str, str] = {}
        for path, reason in dicom.skipped.items():
            first.setdefault(reason, path)
        counts = Counter(dicom.skipped.values())
        for reason, count in counts.most_common(MOST_ROWS):
            more = f" and {count - 1:,} more" if count > 1 else ""
            self._console.print(f"no result: {first[reason]}{more}: {reason}", markup=False)

    def _table(self) -> Table:
        table = plain_table(*map(escape, self._columns))
        table.columns[0].overflow = "fold"
        for path, prediction in self._first:
            _, label, probability, decision, _ = self._plain_cells(path, prediction)
            table.add_row(escape(path), escape(label), probability, _decision(decision), _note(prediction))
        return table

    def _plain_cells(self, path: str, prediction: Prediction) -> tuple[str, ...]:
        value, decimals = prediction.confidence, 4
        if value is not None and self._card.threshold is not None and _asked_of(self._card) != "confidence":
            value = sum(prediction.probabilities[name] or 0.0 for name in self._card.labels.positives)
            decimals = telling_decimals(value, self._card.threshold.value, decimals)
            self._decimals = max(self._decimals, decimals)
        flags = ", ".join(prediction.flags)
        note = flags if prediction.status == "ok" else f"{prediction.status}: {prediction.message}"
        label = "none of them" if prediction.label == "" else prediction.label or ""
        probability = "" if value is None else f"{value:.{decimals}f}"
        return path, label.replace("|", ", "), probability, prediction.decision or "", note

    def _say_lines(self, path: str, prediction: Prediction) -> None:
        if not self._widths:
            cells = [self._plain_cells(*row) for row in self._first]
            heads = tuple(name.lstrip(">") for name in self._columns)
            self._widths = tuple(max(map(len, column)) for column in zip(heads, *cells, strict=True))
            for row in (heads, *cells):
                self._say_line(row)
        self._say_line(self._plain_cells(path, prediction))

    def _say_line(self, cells: tuple[str, ...]) -> None:
        padded = [
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for cell, name, width in zip(cells, self._columns, self._widths, strict=True)
        ]
        sys.stdout.write(visible_line("  ".join(padded).rstrip()) + "\n")

    def _say_faults(self, result: "PredictResult") -> None:
        for status, named in self._faults.items():
            if named:
                self._console.print()
            for path, prediction in named:
                self._console.print(f"{escape(path)}: {_note(prediction)}")
            if more := result.statuses[status] - len(named):
                self._console.print(f"[dim]… and {more:,} more {status}[/dim]")


class PredictionJson:
    """One object on stdout, the same bytes as if it had been written at once.

    Args:
        beginning: what stands before the predictions.
    """

    def __init__(self, beginning: Mapping[str, Any]) -> None:
        self._before = f'{json_text(beginning)[:-1]}, "predictions": ['
        self._begun = False

    def tell(self, path: str, prediction: Prediction) -> None:
        """Write a row; nothing stands on stdout before the first."""
        sys.stdout.write(self._before + json_text(prediction.entry(path)))
        self._before, self._begun = ", ", True

    def end(self, result: "PredictResult", out: Path | None, dicom: "DicomFolder | None" = None) -> None:
        """Write what stands behind the predictions."""
        counts = {name: result.statuses[name] for name in ("ok", "refused", "unreadable")}
        ending = {"images": result.rows, "statuses": counts, "resumed": result.resumed, "out": out}
        exams = {"exams": [exam.entry() for exam in result.exams]} if result.exams else {}
        results = {} if dicom is None else {"dicom_out": dicom.summary()}
        self._close(ending | exams | results)

    def cut_short(self) -> None:
        """End the object where an error or Ctrl-C ended the work, so that it is one."""
        if self._begun:
            self._close({"interrupted": True})

    def _close(self, ending: Mapping[str, Any]) -> None:
        sys.stdout.write(f"], {json_text(ending)[1:]}\n")
        self._begun = False


def _exams(answers: Sequence[ExamAnswer]) -> Table:
    """Return the exams, the positive ones and those for a person first; more than `MOST_ROWS` are counted alone."""
    table = plain_table("exam", ">images", "class", ">confidence", "decision", "shown most by", "note")
    order = {"positive": 0, "refer": 1}
    for each in sorted(answers, key=lambda one: order.get(one.decision or "", 2))[:MOST_ROWS]:
        confidence = "" if each.confidence is None else f"{each.confidence:.4f}"
        label = "none of them" if each.label == "" else each.label or ""
        cells = (
            escape(each.exam_id),
            f"{each.images:,}",
            escape(label),
            confidence,
            _decision(each.decision or ""),
        )
        table.add_row(*cells, escape(each.driven_by or ""), each.message)
    if (more := len(answers) - MOST_ROWS) > 0:
        counts = Counter(each.decision or each.label or "" for each in answers)
        every = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        table.add_row(f"[dim]… and {more:,} more; of all {every}[/dim]")
    return table


def _asked_of(card: "ModelCard") -> str:
    """Return the heading of the probability: of what decides, where one threshold does, else of the class that is named."""
    decides = card.threshold is not None and card.answers != "sigmoid"
    return f"P({' + '.join(card.labels.positives)})" if decides else "confidence"


def _decision(decision: str) -> str:
    return f"[bold]{decision}[/bold]" if decision == "positive" else decision


def _note(prediction: Prediction) -> str:
    if prediction.status == "ok":
        return f"[yellow]{escape(', '.join(prediction.flags))}[/yellow]" if prediction.flags else ""
    return f"[yellow]{prediction.status}[/yellow]: {escape(prediction.message)}"


def _sums(card: "ModelCard", result: "PredictResult") -> Table:
    """Return how many rows have which class, decision and flag."""
    table = plain_table("", ">images", ">%")
    labels = {name or "none of them": number for name, number in sorted(result.labels.items())}
    labels = {name: labels.pop(name) for name in card.classes if name in labels} | labels
    decisions = {name: result.decisions[name] for name in ("positive", "negative", "refer")}
    kept = {name: result.statuses[name] for name in ("refused", "unreadable")}
    flags = dict(sorted(result.flags.items()))
    for title, counts in (("class", labels), ("decision", decisions), ("no answer", kept), ("flag", flags)):
        found = {name: number for name, number in counts.items() if number}
        if found:
            table.add_row(f"[dim]{title}[/dim]", "", "")
        for name, number in found.items():
            table.add_row(f"  {escape(name)}", f"{number:,}", f"{100 * number / result.rows:.1f}")
    return table


def _in_words(
    card: "ModelCard", tested: "Tested | None", result: "PredictResult", decimals: int
) -> list[str]:
    """Return what the answers rest on, and how many there are."""
    lines = []
    if card.answers == "sigmoid":
        lines.append("classes: each at its own threshold")
    elif card.threshold is not None and card.positive is not None:
        lines.append(
            f"decision: {escape(card.positive)} at a probability of {card.threshold.value:.{decimals}f} or more"
            f"{_measured(card, tested)}"
        )
    endings = {"refused": "unlike the training and refused", "unreadable": "could not be read"}
    parts = [f"{result.statuses['ok']:,} answered"]
    parts += [
        f"[yellow]{result.statuses[name]:,} {words}[/yellow]"
        for name, words in endings.items()
        if result.statuses[name]
    ]
    images = "1 image" if result.rows == 1 else f"{result.rows:,} images"
    lines.append(f"{images}: {', '.join(parts)}")
    if result.resumed:
        lines.append(f"{result.resumed:,} of them stood in the file already")
    if result.strange:
        lines.append(f"the file also has {result.strange:,} rows of other inputs; they are kept")
    return lines


def _measured(card: "ModelCard", tested: "Tested | None") -> str:
    """Return recall and specificity of test with their intervals; of the data that chose the threshold where untested."""
    if tested is not None:
        recall, specificity = (_with_interval(figure) for figure in (tested.recall, tested.specificity))
        missed = f"missed {tested.missed.count} of {tested.missed.of}"
        return f" (test: recall {recall}, {missed}; specificity {specificity})"
    threshold = card.threshold
    if threshold is None or threshold.achieved_recall is None or threshold.achieved_specificity is None:
        return ""
    images = f"the {plural(card.fingerprint.val_images, 'image')} of " if threshold.split == "val" else ""
    return (
        f" (not tested; on {images}{escape(threshold.split)}, where it was chosen,"
        f" recall {threshold.achieved_recall:.3f},"
        f" specificity {threshold.achieved_specificity:.3f})"
    )


def _with_interval(figure: "Figure") -> str:
    known = figure.low is not None and figure.high is not None
    return f"{figure.value:.3f}" + (f" ({figure.low:.3f} to {figure.high:.3f})" if known else "")
