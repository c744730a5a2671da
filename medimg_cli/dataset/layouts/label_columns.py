"""Which class a row says: in one column, in one column a class, or in one column a reader."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from medimg_cli.dataset.labels import LABEL_SEP, natural_order
from medimg_cli.dataset.layouts.labels_file import Table, guess_column, require_column
from medimg_cli.dataset.manifest import UNKNOWN_COLUMN
from medimg_cli.errors import UsageError
from medimg_cli.workspace.settings import IngestSettings

_YES_OR_NO = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True, "": False}
_NOT_SAID = frozenset(["", "-1", "-1.0", "nan", "na", "n/a", "u", "unknown", "uncertain", "?"])
"""How tables of several labels leave one open; in small letters. CheXpert's uncertain mention is -1."""

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
        unknown: of a table that leaves labels open, the classes a row does not judge; None where none is left open.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    verdict: Callable[[Mapping[str, str]], Verdict]
    kept: Mapping[str, str]
    note: str = ""
    unknown: Callable[[Mapping[str, str]], str] | None = None

    def not_judged(self, cells: Mapping[str, str]) -> dict[str, str]:
        """Return the manifest's column of classes that a row does not judge, empty for a table that judges all."""
        return {} if self.unknown is None else {UNKNOWN_COLUMN: self.unknown(cells)}


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
    elif all(_is_yes_or_no(table, column, settings) for column in columns):
        found = _findings(table, columns) if settings.multi_label else _one_hot(columns)
    else:
        found = _readers(table, columns, settings)
    note = "; ".join(text for text in (guess, found.note) if text)
    return replace(found, note=note)


def _columns(table: Table, settings: IngestSettings, taken: Sequence[str]) -> tuple[tuple[str, ...], str]:
    named = settings.label_col
    if named is not None:
        names = [named] if named in table.columns else [name.strip() for name in named.split(",")]
        return tuple(require_column(table, name, "--label-col") for name in names), ""
    if (found := guess_column(table, "label", taken)) is not None:
        return (found,), ""
    marks = [name for name in table.columns if name not in taken and _is_yes_or_no(table, name, settings)]
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


def _one_hot(columns: tuple[str, ...]) -> Labelling:
    def verdict(cells: Mapping[str, str]) -> Verdict:
        marked = [name for name, mark in zip(columns, _marked(cells, columns), strict=True) if mark]
        if len(marked) > 1:
            return None, f"several labels: {', '.join(marked)} (--multi-label reads them)"
        return _or_none(marked[0] if marked else "")

    return Labelling(columns, columns, verdict, {})


def _findings(table: Table, columns: tuple[str, ...]) -> Labelling:
    """Return how a column a class says several labels an image, and which of them it leaves open.

    An empty cell leaves its class open where the column says "no" elsewhere; in a column that marks only what is
    there, it is a "no".
    """
    says_no = [name for name in columns if any(_is_no(cells[name]) for _, cells in table.rows)]

    def left_open(cells: Mapping[str, str]) -> list[str]:
        return [
            name for name in columns if cells[name].lower() in _NOT_SAID and (cells[name] or name in says_no)
        ]

    def verdict(cells: Mapping[str, str]) -> Verdict:
        marked = [name for name, mark in zip(columns, _marked(cells, columns), strict=True) if mark]
        # None of the findings is an answer too, unless nothing was filled in.
        judged = any(cells[name].lower() not in _NOT_SAID for name in columns)
        return (LABEL_SEP.join(marked), "") if judged else _or_none("")

    count = sum(len(left_open(cells)) for _, cells in table.rows if verdict(cells)[0] is not None)
    if not count:
        return Labelling(columns, columns, verdict, {})
    note = f"{count:,} of {len(columns) * len(table.rows):,} labels are unknown: left empty, -1 or the like"
    return Labelling(
        columns, columns, verdict, {}, note, unknown=lambda cells: LABEL_SEP.join(left_open(cells))
    )


def _is_no(cell: str) -> bool:
    return cell != "" and _YES_OR_NO.get(cell.lower()) is False


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


def _is_yes_or_no(table: Table, column: str, settings: IngestSettings) -> bool:
    """Return whether a column holds marks; only of several labels an image may one be left open."""
    values = {cells[column].lower() for _, cells in table.rows}
    said = values - _NOT_SAID if settings.multi_label else values - {""}
    return bool(said) and said <= _YES_OR_NO.keys()


def _marked(cells: Mapping[str, str], columns: Sequence[str]) -> list[bool]:
    return [_YES_OR_NO.get(cells[column].lower(), False) for column in columns]
