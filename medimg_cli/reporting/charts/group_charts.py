"""Interval plot of groups of images."""

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.evaluation.results.subgroups import Grouping, Subgroup, Subgroups
from medimg_cli.reporting.charts.matrix_charts import (
    CHART_CLASSES,
    FULL_WIDTH,
    ForestChart,
    Whisker,
    whiskers_of,
)
from medimg_cli.reporting.charts.scales import Scale, Tick, shortened, text_width, ticks
from medimg_cli.reporting.tables.number_format import measured

_RIGHT = 470.0
_ROW, _HEADING = 30.0, 24.0
_SIGNS = 24
_RECALLS = ("recall", "macro_recall")
_BESIDE = ("specificity", "accuracy")


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
        if rows >= CHART_CLASSES:
            break
        headings.append(Tick(y, shortened(grouping.column, 60)))
        y += _HEADING - 4.0
        for group in groups[: CHART_CLASSES - rows]:
            labels.append(Tick(y + (6.0 if beside else 0.0), shortened(group.level, _SIGNS)))
            whiskers += _of_group(group, recall, beside, y, scale)
            y += _ROW if beside else _ROW - 10.0
            rows += 1
        y += 4.0
    overall = evaluation.metrics.get(recall)
    told = [
        f"{grouping.column} {group.level}: {measured(recall, group.metrics[recall])}"
        for grouping, groups in shown
        for group in groups
        if recall in group.metrics
    ]
    return ForestChart(
        title=f"Sensitivity of groups with 95 % intervals: {'; '.join(told)}",
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
