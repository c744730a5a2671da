"""Interval plots: sensitivity of classes and of groups of images, beside it precision or specificity."""

from dataclasses import dataclass

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.evaluation.results.surroundings import Grouping, Subgroup, Subgroups
from medimg_cli.reporting.charts.scales import Scale, Tick, shortened, text_width, ticks
from medimg_cli.reporting.tables.number_format import measured
from medimg_cli.statistics.estimate import Estimate

CHART_CLASSES, CHART_GROUPS = 12, 24  # rows that are drawn; tables of the appendix hold the others
FULL_WIDTH = 640.0  # the width of an A4 text block at 96 dots an inch: drawn at its own size
_RIGHT = 470.0
_ROW, _HEADING = 30.0, 24.0
_SIGNS = 24
_RECALLS = ("recall", "macro_recall")
_BESIDE = ("specificity", "accuracy")


@dataclass(frozen=True)
class Whisker:
    """A point estimate with its interval, a square or a disc; without `at` only its text."""

    y: float
    low: float | None
    at: float | None
    high: float | None
    square: bool
    text: str


@dataclass(frozen=True)
class ForestChart:
    """Two figures with intervals, row by row.

    Args:
        key: names of what discs and squares are.
        headings: names of groups of rows.
        rule: x of a vertical line at the figure of all images, None without one.
    """

    title: str
    width: float
    height: float
    left: float
    right: float
    bottom: float
    labels: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    whiskers: tuple[Whisker, ...]
    key: tuple[str, str] = ("Sensitivity (recall), %", "Precision, %")
    headings: tuple[Tick, ...] = ()
    rule: float | None = None


def forest_chart(evaluation: Evaluation, most: int = CHART_CLASSES) -> ForestChart | None:
    """Return the interval plot of at most `most` classes, weakest sensitivity first; None without a defined value."""
    rows = [
        (name, figures["recall"], figures.get("precision"))
        for name, figures in evaluation.per_class.items()
        if "recall" in figures and figures["recall"].value is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: (row[1].value or 0.0, row[0]))
    rows = rows[:most]
    left = 20.0 + max(text_width(shortened(name, 22)) for name, _, _ in rows)
    scale = Scale(0.0, 100.0, left, 490.0)
    labels, whiskers = [], []
    for index, (name, recall, precision) in enumerate(rows):
        y = 28.0 + 32.0 * index
        labels.append(Tick(y + 6.0, shortened(name, 22)))
        whiskers += whiskers_of("recall", recall, y, scale, square=False)
        whiskers += whiskers_of("precision", precision, y + 13.0, scale, square=True)
    bottom = 30.0 + 32.0 * len(rows)
    texts = [f"{name} sensitivity {measured('recall', recall)}" for name, recall, _ in rows]
    return ForestChart(
        title="Sensitivity and precision of each class with 95 % intervals: " + "; ".join(texts),
        width=FULL_WIDTH,
        height=bottom + 44.0,
        left=left,
        right=490.0,
        bottom=bottom,
        labels=tuple(labels),
        x_ticks=ticks(scale),
        whiskers=tuple(whiskers),
    )


def whiskers_of(
    name: str, estimate: Estimate | None, y: float, scale: Scale, *, square: bool
) -> list[Whisker]:
    """Return the mark of a share with its interval, none where it is not defined; on a scale of per cents."""
    if estimate is None or estimate.value is None:
        return []
    low = None if estimate.low is None else scale(100 * estimate.low)
    high = None if estimate.high is None else scale(100 * estimate.high)
    return [Whisker(y, low, scale(100 * estimate.value), high, square, measured(name, estimate))]


def subgroup_chart(found: Subgroups, evaluation: Evaluation) -> ForestChart | None:
    """Return sensitivity and specificity of each level, column by column; None where no level shows any."""
    shown = [(each, _levels(each)) for each in found.groupings]
    shown = [(grouping, groups) for grouping, groups in shown if groups]
    names = {name for _, groups in shown for group in groups for name in group.metrics}
    recall = next((name for name in _RECALLS if name in names), None)
    if recall is None:
        return None
    beside = next((name for name in _BESIDE if name in names), "")
    longest = max(text_width(shortened(group.level, _SIGNS)) for _, groups in shown for group in groups)
    scale = Scale(0.0, 100.0, 20.0 + longest, _RIGHT)
    headings, labels, whiskers = [], [], []
    y, rows = 22.0, 0
    for grouping, groups in shown:
        if rows >= CHART_GROUPS:
            break
        headings.append(Tick(y, shortened(grouping.column, 60)))
        y += _HEADING - 4.0
        for group in groups[: CHART_GROUPS - rows]:
            labels.append(Tick(y + (6.0 if beside else 0.0), shortened(group.level, _SIGNS)))
            whiskers += _of_group(group, recall, beside, y, scale)
            y += _ROW if beside else _ROW - 10.0
            rows += 1
        y += 4.0
    overall = evaluation.metrics.get(recall)
    texts = [
        f"{grouping.column} {group.level}: {measured(recall, group.metrics[recall])}"
        for grouping, groups in shown
        for group in groups
        if recall in group.metrics
    ]
    return ForestChart(
        title=f"Sensitivity of groups with 95 % intervals: {'; '.join(texts)}",
        width=FULL_WIDTH,
        height=y + 44.0,
        left=scale.start,
        right=_RIGHT,
        bottom=y,
        labels=tuple(labels),
        x_ticks=ticks(scale),
        whiskers=tuple(whiskers),
        key=("Sensitivity, %", f"{beside.capitalize()}, %" if beside else ""),
        headings=tuple(headings),
        rule=None if overall is None or overall.value is None else scale(100 * overall.value),
    )


def _levels(grouping: Grouping) -> tuple[Subgroup, ...]:
    return tuple(group for group in grouping.groups if group.metrics)


def _of_group(group: Subgroup, recall: str, beside: str, y: float, scale: Scale) -> list[Whisker]:
    found = whiskers_of(recall, group.metrics.get(recall), y, scale, square=False)
    if beside:
        found += whiskers_of(beside, group.metrics.get(beside), y + 12.0, scale, square=True)
    return found
