"""Which class a row says: in one column, in one column a class, or in one column a reader."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote

from medimg_cli.dataset.class_names import ClassNames, is_stated, mark_of
from medimg_cli.dataset.labels import LABEL_SEP, natural_order
from medimg_cli.dataset.layouts.labels_file import guess_column, plain, require_column
from medimg_cli.dataset.listing import NO_LABEL
from medimg_cli.dataset.manifest import UNKNOWN_COLUMN
from medimg_cli.errors import UsageError
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.spreadsheets import Table

_UNCERTAIN = frozenset(["-1", "-1.0", "u", "unknown", "uncertain"])
"""How tables of several labels leave one open, beside cells without a label; CheXpert's uncertain mention is -1."""
_READER = re.compile(
    r"(label|diagnosis|diagnose|dx)?(by)?(reader|rater|annotator|observer|expert|radiologist|grader|doctor|physician|"
    r"befunder|arzt)[a-z]?\d*(label|diagnosis|dx)?"
)

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
    """Return how `table` says the class: by the named columns, else by a common name, else by columns of marks.

    Several columns are one a class where they hold marks (1 and 0, X and nothing, yes and no, + and -), and one a reader
    where they hold classes, or marks that most often agree.

    Args:
        taken: columns that mean something else.

    Raises:
        UsageError: a named column is not there, nothing or more than one could be the label, or no label is called as
            `settings.map_classes` says.
    """
    columns = _columns(table, settings, taken)
    if len(columns) == 1:
        return _single(table, columns[0], settings)
    kind, why = _kind(table, columns, settings)
    if kind == "readers":
        return _readers(table, columns, settings, why)
    names = ClassNames(dict.fromkeys(columns, 1), settings.map_classes)
    free = (
        [name for name in table.columns if name not in (*taken, *columns)]
        if settings.label_col is None
        else []
    )
    others = [name for name in free if _holds_marks(table, name, settings)]
    if others:
        why += f"; marks, but no classes: {', '.join(others)} (--label-col A,B,C names the classes)"
    found = _findings(table, columns, names) if settings.multi_label else _one_hot(columns, names)
    notes = (f"one column a class: {', '.join(columns)}{why}", *names.notes, found.note)
    return replace(found, note="; ".join(filter(None, notes)))


def _columns(table: Table, settings: IngestSettings, taken: Sequence[str]) -> tuple[str, ...]:
    named = settings.label_col
    if named is not None:
        names = [named] if named in table.columns else [name.strip() for name in named.split(",")]
        return tuple(require_column(table, name, "--label-col") for name in names)
    if (found := guess_column(table, "label", taken)) is not None:
        return (found,)
    free = [name for name in table.columns if name not in taken]
    readers = tuple(name for name in free if _READER.fullmatch(plain(name)))
    if len(readers) > 1:
        return readers
    marks = [name for name in free if _holds_marks(table, name, settings)]
    if len(marks) > 1 and settings.multi_label:
        return tuple(marks)
    if (runs := _partitions(table, marks)) and len(runs) == 1:
        return runs[0]
    if runs:
        several = " or ".join(f"--label-col {quote(','.join(run))}" for run in runs)
        raise UsageError(
            f"{table.path}: several groups of columns have one mark in each row: which are the classes?",
            several,
        )
    hint = f"name it with --label-col; there are {', '.join(table.columns[:20])}"
    if len(marks) > 1:
        hint = f"name the columns of classes: --label-col {','.join(marks[:20])}"
    raise UsageError(f"{table.path}: no column looks like the label", hint)


def _partitions(table: Table, marks: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the runs of columns of which exactly one has a mark in each row, the widest first; none overlaps another.

    Columns such as "smoker" would pass for classes but for this.
    """
    found: list[tuple[str, ...]] = []
    for width in range(len(marks), 1, -1):
        for start in range(len(marks) - width + 1):
            run = tuple(marks[start : start + width])
            free = not any(set(run) & set(other) for other in found)
            if free and all(sum(_marked(cells, run)) == 1 for _, cells in table.rows):
                found.append(run)
    return found


def _kind(table: Table, columns: Sequence[str], settings: IngestSettings) -> tuple[str, str]:
    """Return what several columns are, "one-hot" or "readers", and why, for the note."""
    if settings.label_kind != "auto":
        return settings.label_kind, ""
    filled = [name for name in columns if any(cells[name] for _, cells in table.rows)]
    if not filled or not all(_holds_marks(table, name, settings) for name in filled):
        return "readers", ""
    if settings.multi_label:
        return "one-hot", ""
    if all(_READER.fullmatch(plain(name)) for name in columns):
        return "readers", " (by their names; --label-kind one-hot takes them for a column a class)"
    marks = Counter(sum(_marked(cells, columns)) for _, cells in table.rows)
    # Where one of several classes holds, all of them cannot; readers of one finding mostly agree on it.
    if marks[len(columns)] > marks[1]:
        return (
            "readers",
            f" (all of them are marked in {marks[len(columns)]:,} rows, one alone in {marks[1]:,}; --label-kind one-hot "
            "takes them for a column a class)",
        )
    return "one-hot", " (--label-kind readers takes them for readers)"


def _single(table: Table, column: str, settings: IngestSettings) -> Labelling:
    cells = Counter(cells[column] for _, cells in table.rows)
    if not settings.multi_label:
        names = ClassNames(cells, settings.map_classes)
        classes = tuple(natural_order(names(cells)))
        notes = "; ".join([*names.notes, *_of_combined(classes, settings, "--multi-label")])
        return Labelling(
            (column,), classes, lambda row: _or_none(names.of(row[column]), row[column]), {}, notes
        )
    counts: Counter[str] = Counter()
    for cell, count in cells.items():
        counts.update(dict.fromkeys(_parts(cell, settings.label_sep), count))
    names = ClassNames(counts, settings.map_classes)
    ordered = tuple(natural_order(names(counts)))

    def verdict(row: Mapping[str, str]) -> Verdict:
        found = set(names(_parts(row[column], settings.label_sep)))
        return _or_none(LABEL_SEP.join(name for name in ordered if name in found), row[column])

    notes = "; ".join([*names.notes, *_of_combined(ordered, settings, "")])
    return Labelling((column,), ordered, verdict, {}, notes)


def _of_combined(classes: Sequence[str], settings: IngestSettings, option: str) -> Iterator[str]:
    """Yield a note of a class that is several others in one cell, and what reads it as such."""
    for sign in dict.fromkeys((settings.label_sep, *"|;,/+&")):
        own = sign == settings.label_sep
        parted = ((name, set(_parts(name, sign))) for name in classes if sign in name)
        name = next((name for name, parts in parted if own or parts <= {*classes} - {name}), None)
        if name is not None:
            named = option if own else f"{option} --label-sep '{sign}'".strip()
            yield f"labels such as '{name}' count as classes of their own ({named} reads them as several)"
            return


def _one_hot(columns: tuple[str, ...], names: ClassNames) -> Labelling:
    def verdict(cells: Mapping[str, str]) -> Verdict:
        marked = names(name for name, mark in zip(columns, _marked(cells, columns), strict=True) if mark)
        if len(marked) > 1:
            return None, f"several labels: {', '.join(marked)} (--multi-label reads them)"
        return _or_none(marked[0] if marked else "")

    return Labelling(columns, names(columns), verdict, {})


def _findings(table: Table, columns: tuple[str, ...], names: ClassNames) -> Labelling:
    """Return how a column a class says several labels an image, and which of them it leaves open.

    An empty cell leaves its class open where the column says "no" elsewhere; in a column that marks only what is
    there, it is a "no".
    """
    says_no = [name for name in columns if any(mark_of(cells[name]) is False for _, cells in table.rows)]

    def left_open(cells: Mapping[str, str]) -> list[str]:
        return [name for name in columns if _is_open(cells[name]) and (cells[name] or name in says_no)]

    def verdict(cells: Mapping[str, str]) -> Verdict:
        marked = names(name for name, mark in zip(columns, _marked(cells, columns), strict=True) if mark)
        # None of the findings is an answer too, unless nothing was filled in.
        judged = any(not _is_open(cells[name]) for name in columns)
        return (LABEL_SEP.join(marked), "") if judged else _or_none("")

    count = sum(len(left_open(cells)) for _, cells in table.rows if verdict(cells)[0] is not None)
    if not count:
        return Labelling(columns, names(columns), verdict, {})
    note = f"{count:,} of {len(columns) * len(table.rows):,} labels are unknown: left empty, -1 or the like"
    return Labelling(
        columns,
        names(columns),
        verdict,
        {},
        note,
        unknown=lambda cells: LABEL_SEP.join(names(left_open(cells))),
    )


def _readers(table: Table, columns: tuple[str, ...], settings: IngestSettings, why: str) -> Labelling:
    if settings.multi_label:
        raise UsageError(
            f"--multi-label with several readers: {', '.join(columns)}",
            "give one column of labels, or columns of 0 and 1",
        )
    counts = Counter(cells[column] for _, cells in table.rows for column in columns)
    marked = [mark_of(text) for text in counts if is_stated(text)]
    # Who ticks only what is there says no with an empty cell.
    ticks = "0" if marked and all(marked) and counts[""] else ""
    if ticks:
        counts = Counter({"1": counts.total() - counts[""], "0": counts[""]})
    names = ClassNames(counts, settings.map_classes)

    def label_in(cells: Mapping[str, str], column: str) -> str:
        return names.of(("1" if cells[column] else "0") if ticks else cells[column])

    def verdict(cells: Mapping[str, str]) -> Verdict:
        votes = Counter(vote for column in columns if (vote := label_in(cells, column)))
        if not votes:
            return _or_none("")
        best = max(votes.values())
        winners = [label for label, count in votes.items() if count == best]
        if len(winners) == 1:
            return winners[0], ""
        readings = ", ".join(f"{column} {cells[column]}" for column in columns if cells[column])
        return None, f"annotators disagree: {readings}"

    agreed = {label for _, cells in table.rows if (label := verdict(cells)[0])}
    unlike = sum(len({label_in(cells, column) for column in columns} - {""}) > 1 for _, cells in table.rows)
    note = f"the majority of {', '.join(columns)} is the label{why}; they differ in {unlike} of {len(table.rows)} rows"
    kept = {column: f"label_{column}" for column in columns}
    return Labelling(columns, tuple(natural_order(agreed)), verdict, kept, "; ".join([note, *names.notes]))


def _or_none(label: str, cell: str = "") -> Verdict:
    return (label, "") if label else (None, f"{NO_LABEL}{f' ({cell!r})' if cell else ''}")


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _is_open(cell: str) -> bool:
    return not is_stated(cell) or cell.lower() in _UNCERTAIN


def _holds_marks(table: Table, column: str, settings: IngestSettings) -> bool:
    """Return whether a column holds marks; only of several labels an image may one be left open."""
    values = {cells[column] for _, cells in table.rows}
    stated = {
        value for value in values if not (_is_open(value) if settings.multi_label else not is_stated(value))
    }
    return bool(stated) and all(mark_of(value) is not None for value in stated)


def _marked(cells: Mapping[str, str], columns: Sequence[str]) -> list[bool]:
    return [bool(mark_of(cells[column])) for column in columns]
