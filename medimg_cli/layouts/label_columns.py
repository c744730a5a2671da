"""Which class a row says: in one column, in one column a class, or in one column a reader."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medimg_cli.core.labels import LABEL_SEP, natural_order
from medimg_cli.core.settings import IngestSettings
from medimg_cli.errors import UsageError
from medimg_cli.layouts.labels_file import Table, guess_column, require_column

_YES_OR_NO = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True, "": False}

Verdict = tuple[str | None, str]
"""(label, "") of a row that says one, (None, reason) of one that does not."""


@dataclass(frozen=True)
class Labelling:
    """How a table says the class.

    Args:
        columns: that say it; they are no further columns of the manifest.
        classes: in the order of every probability vector.
        verdict: what a row says.
        kept: column → its name in the manifest, where each reader's own label stays.
        note: what the user should know, "" for nothing.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    verdict: Callable[[Mapping[str, str]], Verdict]
    kept: Mapping[str, str]
    note: str = ""


def choose_labelling(table: Table, settings: IngestSettings, taken: Sequence[str]) -> Labelling:
    """Return how `table` says the class: by the named columns, else by a common name, else by columns of 0 and 1.

    Args:
        taken: columns that mean something else.

    Raises:
        UsageError: a named column is not there, or nothing or more than one could be the label.
    """
    columns, guess = _columns(table, settings, taken)
    if len(columns) == 1:
        found = _single(table, columns[0], settings)
    elif all(_is_yes_or_no(table, column) for column in columns):
        found = _one_hot(columns, settings)
    else:
        found = _readers(table, columns, settings)
    note = "; ".join(text for text in (guess, found.note) if text)
    return Labelling(found.columns, found.classes, found.verdict, found.kept, note)


def _columns(table: Table, settings: IngestSettings, taken: Sequence[str]) -> tuple[tuple[str, ...], str]:
    named = settings.label_col
    if named is not None:
        names = [named] if named in table.columns else [name.strip() for name in named.split(",")]
        return tuple(require_column(table, name, "--label-col") for name in names), ""
    if (found := guess_column(table, "label", taken)) is not None:
        return (found,), ""
    marks = [name for name in table.columns if name not in taken and _is_yes_or_no(table, name)]
    # Without several labels an image, columns such as "smoker" would pass for classes but for this.
    fits = settings.multi_label or all(sum(_marked(cells, marks)) == 1 for _, cells in table.rows)
    if len(marks) > 1 and fits:
        return tuple(marks), f"one column a class: {', '.join(marks)}"
    hint = f"name it with --label-col; there are {', '.join(table.columns[:20])}"
    if len(marks) > 1:
        hint = f"name the columns of classes: --label-col {','.join(marks[:20])}"
    raise UsageError(f"{table.path}: no column looks like the label", hint)


def _single(table: Table, column: str, settings: IngestSettings) -> Labelling:
    texts = {cells[column] for _, cells in table.rows if cells[column]}
    if not settings.multi_label:
        combined = next((text for text in natural_order(texts) if settings.label_sep in text), None)
        note = (
            ""
            if combined is None
            else (
                f"labels such as '{combined}' count as classes of their own (--multi-label reads them as several)"
            )
        )
        return Labelling(
            (column,), tuple(natural_order(texts)), lambda cells: _or_none(cells[column]), {}, note
        )
    classes = tuple(natural_order(part for text in texts for part in _parts(text, settings.label_sep)))

    def verdict(cells: Mapping[str, str]) -> Verdict:
        parts = set(_parts(cells[column], settings.label_sep))
        return _or_none(LABEL_SEP.join(name for name in classes if name in parts))

    return Labelling((column,), classes, verdict, {})


def _one_hot(columns: tuple[str, ...], settings: IngestSettings) -> Labelling:
    def verdict(cells: Mapping[str, str]) -> Verdict:
        marked = [name for name, mark in zip(columns, _marked(cells, columns), strict=True) if mark]
        if settings.multi_label:  # none of the findings is an answer too, unless nothing was filled in
            return (LABEL_SEP.join(marked), "") if any(cells[name] for name in columns) else _or_none("")
        if len(marked) > 1:
            return None, f"several labels: {', '.join(marked)} (--multi-label reads them)"
        return _or_none(marked[0] if marked else "")

    return Labelling(columns, columns, verdict, {})


def _readers(table: Table, columns: tuple[str, ...], settings: IngestSettings) -> Labelling:
    if settings.multi_label:
        raise UsageError(
            f"--multi-label with several readers: {', '.join(columns)}",
            "give one column of labels, or columns of 0 and 1",
        )

    def verdict(cells: Mapping[str, str]) -> Verdict:
        votes = Counter(cells[column] for column in columns if cells[column])
        if not votes:
            return _or_none("")
        best = max(votes.values())
        winners = [label for label, count in votes.items() if count == best]
        if len(winners) == 1:
            return winners[0], ""
        said = ", ".join(f"{column} {cells[column]}" for column in columns if cells[column])
        return None, f"annotators disagree: {said}"

    agreed = {label for _, cells in table.rows if (label := verdict(cells)[0])}
    unlike = sum(len({cells[column] for column in columns if cells[column]}) > 1 for _, cells in table.rows)
    note = f"the majority of {', '.join(columns)} is the label; they differ in {unlike} of {len(table.rows)} rows"
    kept = {column: f"label_{column}" for column in columns}
    return Labelling(columns, tuple(natural_order(agreed)), verdict, kept, note)


def _or_none(label: str) -> Verdict:
    return (label, "") if label else (None, "no label in the table")


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _is_yes_or_no(table: Table, column: str) -> bool:
    values = {cells[column].lower() for _, cells in table.rows}
    return values <= _YES_OR_NO.keys() and values != {""}


def _marked(cells: Mapping[str, str], columns: Sequence[str]) -> list[bool]:
    return [_YES_OR_NO.get(cells[column].lower(), False) for column in columns]
