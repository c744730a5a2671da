"""Tables of the same figures in parts of the images, by patient, under disturbances, and of other models."""

from collections.abc import Iterable, Mapping, Sequence

from medimg_cli.evaluation.evaluation import Evaluation, ExamFigures
from medimg_cli.evaluation.results.decisions import Comparison, Difference, PatientLevels
from medimg_cli.evaluation.results.surroundings import (
    Baselines,
    Grouping,
    Robustness,
    Shift,
    Subgroup,
    Subgroups,
)
from medimg_cli.reporting.content import FEW_POSITIVES, TABLE_ROWS
from medimg_cli.reporting.tables.number_format import (
    change,
    grouped,
    is_share,
    measured,
    metric_title,
    number,
    percent,
)
from medimg_cli.reporting.tables.tables import Table
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.plain_text import plural

FLAG = "†"
_RULES = {"max": "highest probability of their images", "mean": "mean probability of their images"}
_COLUMNS = ("recall", "macro_recall", "specificity", "precision", "npv", "accuracy", "auroc", "macro_auroc")
_SHORT = {
    "recall": "Sensitivity",
    "macro_recall": "Sensitivity, mean",
    "precision": "Positive predictive value",
    "macro_auroc": "AUROC, mean",
}


def short_title(name: str) -> str:
    """Return a metric's name for the head of a column."""
    return _SHORT.get(name) or metric_title(name)


def flagged(positives: int) -> str:
    """Return a number of positive images, marked where it is small."""
    return f"{grouped(positives)} {FLAG}" if positives < FEW_POSITIVES else grouped(positives)


def _held(figures: Iterable[Mapping[str, Estimate]]) -> tuple[str, ...]:
    """Return the metrics that some of the rows hold, in the order of the columns."""
    names = dict.fromkeys(name for each in figures for name in each)
    return tuple(sorted(names, key=lambda name: _COLUMNS.index(name) if name in _COLUMNS else len(_COLUMNS)))


def _cells(figures: Mapping[str, Estimate], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(measured(name, figures[name]) if name in figures else "–" for name in names)


def patient_table(found: PatientLevels) -> Table:
    """Return the figures of patients, one row for each way to join their images."""
    names = _held(level.metrics for level in found.levels)
    rows = tuple(
        (
            _RULES[level.rule],
            f"{grouped(len(level.missed))} of {grouped(level.positives)}",
            *_cells(level.metrics, names),
        )
        for level in found.levels
    )
    head = ("Patients by the", "Missed", *map(short_title, names))
    return Table("Results by patient", head, rows, figures=tuple(range(1, len(head))))


def exam_table(found: ExamFigures) -> Table:
    """Return the figures of exams."""
    of_positive = ("recall", "specificity", "precision", "npv", "auroc")
    names = [
        n
        for n in (of_positive if found.missed else ("macro_recall", "accuracy", "macro_auroc"))
        if n in found.metrics
    ]
    missed = f"{grouped(found.missed.count)} of {grouped(found.missed.of)}" if found.missed else "–"
    row = (f"{grouped(found.n)} by {found.pooling}", missed, *_cells(found.metrics, names))
    head = ("Exams", "Missed", *map(short_title, names))
    return Table("Results by exam", head, (row,), figures=tuple(range(1, len(head))))


def subgroup_table(found: Subgroups) -> Table | None:
    """Return every level of every column, None without one."""
    groups = [(grouping, group) for grouping in found.groupings for group in grouping.groups]
    if not groups:
        return None
    names = _held(group.metrics for _, group in groups)
    counted = any(group.positives is not None for _, group in groups)
    rows = tuple(
        _subgroup(grouping, group, names, counted=counted) for grouping, group in groups[:TABLE_ROWS]
    )
    head = ("Group", "Images", "Patients", *(("Positive",) if counted else ()), *map(short_title, names))
    return Table("Results by group", head, rows, max(0, len(groups) - TABLE_ROWS), tuple(range(1, len(head))))


def _subgroup(grouping: Grouping, group: Subgroup, names: Sequence[str], *, counted: bool) -> tuple[str, ...]:
    positives = "–" if group.positives is None else flagged(group.positives)
    figures = _cells(group.metrics, names)
    if group.suppressed:
        figures = tuple("not shown" for _ in names)
    return (
        f"{grouping.column}: {group.level}",
        grouped(group.n),
        grouped(group.patients),
        *((positives,) if counted else ()),
        *figures,
    )


def suppressed_lines(found: Subgroups) -> tuple[str, ...]:
    """Return why figures of groups are not shown, each reason with its groups."""
    reasons: dict[str, list[str]] = {}
    for grouping in found.groupings:
        for group in grouping.groups:
            if group.suppressed:
                reasons.setdefault(group.suppressed, []).append(f"{grouping.column}: {group.level}")
    return tuple(f"{', '.join(groups)}: {why}" for why, groups in reasons.items())


def gap_table(found: Subgroups, most: int = TABLE_ROWS) -> Table | None:
    """Return the largest gap of each figure and column, None without one."""
    rows = tuple(
        (
            grouping.column,
            short_title(name),
            change(name, gap) + (" points" if is_share(name) and gap.value is not None else ""),
            " and ".join(grouping.between.get(name, ())) or "–",
            grouped(grouping.pairs[name]) if name in grouping.pairs else "–",
        )
        for grouping in found.groupings
        for name, gap in grouping.largest_gap.items()
    )
    head = ("Column", "Figure", "Largest gap", "Between", "Pairs")
    return Table("Largest gaps", head, rows[:most], max(0, len(rows) - most), (2, 4)) if rows else None


def shift_table(found: Shift) -> Table | None:
    """Return how the tested images differ from those learnt from, None without a row."""
    rows = tuple(
        (row.name, row.train, row.here, number(row.distance) + (" large" if row.large else ""), row.measure)
        for row in found.rows[:TABLE_ROWS]
    )
    head = ("Property", "Training", "Here", "Difference", "Measured as")
    beyond = len(found.rows) - len(rows)
    return Table("Properties of both", head, rows, beyond, (3,)) if rows else None


def robustness_table(found: Robustness) -> Table:
    """Return the figures of disturbed images, undisturbed ones first."""
    names = _held([found.undisturbed, *(row.metrics for row in found.rows)])
    kind = "macro_recall" if "macro_recall" in names else "recall"
    rows = [("none", "–", *_cells(found.undisturbed, names), "–")]
    rows += [
        (row.disturbance, row.strength, *_cells(row.metrics, names), change(kind, row.change))
        for row in found.rows[:TABLE_ROWS]
    ]
    head = ("Disturbance", "Strength", *map(short_title, names), "Change of sensitivity (points)")
    caption = f"The same {plural(found.n, 'image')}, disturbed"
    return Table(caption, head, tuple(rows), len(found.rows) - len(rows) + 1, tuple(range(2, len(head))))


def baseline_table(found: Baselines, evaluation: Evaluation) -> Table | None:
    """Return the model beside what needs no look at the pixels, None without a baseline."""
    if not found.rows:
        return None
    names = _held(row.metrics for row in found.rows)
    rows = [("this model", *_cells(evaluation.metrics, names))]
    rows += [(row.name, *_cells(row.metrics, names)) for row in found.rows]
    head = ("Answers of", *map(short_title, names))
    return Table(
        "The model and what needs no look at the pixels",
        head,
        tuple(rows),
        figures=tuple(range(1, len(head))),
    )


def comparison_table(found: Comparison) -> Table:
    """Return both runs, their difference with its interval, and then the tests."""
    rows = tuple(
        (
            metric_title(row.name),
            *map(percent if is_share(row.name) else number, (row.first, row.second)),
            change(row.name, row.difference),
            "–"
            if row.only_first is None or row.only_second is None
            else f"{grouped(row.only_first)} / {grouped(row.only_second)}",
            *_test(row),
        )
        for row in found.differences[:TABLE_ROWS]
    )
    head = (
        "Figure", "This run", "The other", "Difference", "Only right here / there", "p", "p, Holm", "Test",
    )  # fmt: skip
    beyond = len(found.differences) - len(rows)
    caption = f"Against {found.against}: {plural(found.n, 'image')} of {plural(found.patients, 'patient')}"
    return Table(caption, head, rows, beyond, (1, 2, 3, 4, 5, 6))


def _test(row: Difference) -> tuple[str, str, str]:
    unadjusted, adjusted = ("–" if p is None else number(p) for p in (row.p, row.p_adjusted))
    return unadjusted, adjusted, row.test or "–"
