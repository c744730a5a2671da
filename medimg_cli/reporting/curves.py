"""Charts made of lines: ROC, precision-recall and learning curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from medimg_cli.core.evaluation import Curve, Evaluation
from medimg_cli.reporting.numbers import metric_title, number, percent
from medimg_cli.reporting.scales import Scale, Tick, outline, path, shortened, ticks

_WIDTH, _HEIGHT = 330.0, 290.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 320.0, 16.0, 242.0
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")  # told apart in grey print, not by colour alone
_KEY_ROW = 15.0
_AREAS = {"auroc": "AUROC", "average_precision": "average precision"}


@dataclass(frozen=True)
class Line:
    """One line of a chart and its place in the key."""

    name: str
    d: str
    dash: str
    accent: bool
    key_x: float
    key_y: float


@dataclass(frozen=True)
class LineChart:
    """A chart ready to draw, in units of its own `width` x `height`.

    Args:
        title: what it shows, in words; the alternative text of the drawing.
        left, right, top, bottom: the plotting area.
        reference: path of the line of no skill, "" without one.
        rule: x of a vertical line with `rule_text`, None without one.
        marks: (x, y) of the operating points.
    """

    title: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    reference: str = ""
    rule: float | None = None
    rule_text: str = ""
    marks: tuple[tuple[float, float], ...] = ()


def roc_chart(evaluation: Evaluation) -> LineChart | None:
    """Return the receiver operating characteristic, None when the evaluation holds no curve."""
    labels = ("1 − specificity", "Sensitivity")
    return _curve_chart(evaluation, evaluation.roc, "auroc", "ROC curve", labels, diagonal=True)


def precision_recall_chart(evaluation: Evaluation) -> LineChart | None:
    """Return the precision-recall curves, None when the evaluation holds none."""
    labels = ("Sensitivity (recall)", "Precision")
    curves = evaluation.precision_recall
    return _curve_chart(
        evaluation, curves, "average_precision", "Precision–recall curve", labels, diagonal=False
    )


def drawn_curves(evaluation: Evaluation, curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves there is room for: positive class first, then weakest sensitivity first."""

    def place(curve: Curve) -> tuple[bool, float, str]:
        recall = evaluation.per_class.get(curve.name, {}).get("recall")
        value = 2.0 if recall is None or recall.value is None else recall.value
        return (curve.name != evaluation.positive, value, curve.name)

    return sorted(curves, key=place)[: len(_DASHES)]


def _curve_chart(
    evaluation: Evaluation,
    curves: Sequence[Curve],
    area: str,
    kind: str,
    labels: tuple[str, str],
    *,
    diagonal: bool,
) -> LineChart | None:
    drawn = drawn_curves(evaluation, curves)
    if not drawn:
        return None
    x, y = Scale(0.0, 1.0, _LEFT, _RIGHT), Scale(0.0, 1.0, _BOTTOM, _TOP)
    names = [_with_area(evaluation, curve.name, area) for curve in drawn]
    points = [curve.operating_point for curve in drawn if curve.operating_point is not None]
    paths = [path(curve.x, curve.y, x, y) for curve in drawn]
    spoken = [f"operating point at {percent(point[0])}, {percent(point[1])}" for point in points[:1]]
    return LineChart(
        title="; ".join([f"{kind}: {', '.join(names)}", *spoken]),
        width=_WIDTH,
        height=_height(len(drawn)),
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
        x_label=labels[0],
        y_label=labels[1],
        x_ticks=ticks(x),
        y_ticks=ticks(y),
        lines=_keyed([shortened(name, 44) for name in names], paths),
        reference=path((0.0, 1.0), (0.0, 1.0), x, y) if diagonal else "",
        marks=tuple((x(across), y(up)) for across, up in points),
    )


def _with_area(evaluation: Evaluation, name: str, area: str) -> str:
    of_class = evaluation.per_class.get(name, {})
    estimate = (evaluation.metrics if name == evaluation.positive else of_class).get(area)
    if estimate is None or estimate.value is None:
        return shortened(name, 34)
    return f"{shortened(name, 20)}, {_AREAS[area]} {number(estimate.value)}"


def _keyed(names: Sequence[str], paths: Sequence[str]) -> tuple[Line, ...]:
    """Return the lines with their places in the key below the chart, one a row."""
    top = _BOTTOM + 52.0
    return tuple(
        Line(name, d, _DASHES[index % len(_DASHES)], index == 0, _LEFT, top + index * _KEY_ROW)
        for index, (name, d) in enumerate(zip(names, paths, strict=True))
    )


def _height(rows: int) -> float:
    return _HEIGHT + 8.0 + _KEY_ROW * rows


def learning_charts(history: pd.DataFrame, best_epoch: int | None) -> tuple[LineChart, ...]:
    """Return loss by epoch, and validation figures by epoch, where the history holds them.

    Args:
        history: numeric columns; `epoch` counts the rows where it is missing.
        best_epoch: the epoch whose weights the run kept.
    """
    if history.empty:
        return ()
    epochs = history["epoch"] if "epoch" in history else pd.Series(range(1, len(history) + 1))
    columns = [str(name) for name in history.columns]
    losses = [name for name in columns if name.endswith("loss")]
    figures = [name for name in columns if name.startswith("val_") and name not in losses]
    charts = [
        _epoch_chart(history, list(epochs), losses, "Loss", best_epoch),
        _epoch_chart(history, list(epochs), figures[: len(_DASHES)], "Validation figure", best_epoch),
    ]
    return tuple(chart for chart in charts if chart is not None)


def _epoch_chart(
    history: pd.DataFrame, epochs: list[float], columns: list[str], label: str, best_epoch: int | None
) -> LineChart | None:
    if not columns:
        return None
    values = [value for name in columns for value in history[name]]
    low, high = outline(values, floor=0.0 if label == "Loss" else None)
    x = Scale(min(epochs), max(epochs), _LEFT, _RIGHT)
    y = Scale(low, high, _BOTTOM, _TOP)
    names = [_column_title(name) for name in columns]
    best = best_epoch is not None and min(epochs) <= best_epoch <= max(epochs)
    return LineChart(
        title=f"{label} by epoch: {', '.join(names)}" + (f"; best epoch {best_epoch}" if best else ""),
        width=_WIDTH,
        height=_height(len(columns)),
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
        x_label="Epoch",
        y_label=label,
        x_ticks=ticks(x, count=6, whole=True),
        y_ticks=ticks(y),
        lines=_keyed(names, [path(epochs, list(history[name]), x, y) for name in columns]),
        rule=x(best_epoch) if best and best_epoch is not None else None,
        rule_text=f"best epoch {best_epoch}" if best else "",
        marks=_lone_points(epochs, history, columns, x, y),
    )


def _column_title(name: str) -> str:
    part, _, figure = name.partition("_")
    if part in ("train", "val") and figure:
        return f"{metric_title(figure)}, {'training' if part == 'train' else 'validation'}"
    return metric_title(name)


def _lone_points(
    epochs: list[float], history: pd.DataFrame, columns: list[str], x: Scale, y: Scale
) -> tuple[tuple[float, float], ...]:
    """Return dots for a history of one epoch, whose lines would have no length."""
    if len(epochs) > 1:
        return ()
    values = [float(history[name].iloc[0]) for name in columns]
    return tuple((x(epochs[0]), y(value)) for value in values if math.isfinite(value))
