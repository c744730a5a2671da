"""Line charts, and the report's curves as such: ROC, precision–recall, training, decision, risk and coverage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from medimg_cli.evaluation.evaluation import Curve, Evaluation
from medimg_cli.reporting.charts.scales import MAX_POINTS, Scale, Tick, outline, path, shortened, thin, ticks
from medimg_cli.reporting.tables.number_format import metric_title, number, percent

WIDTH = 330.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 320.0, 16.0, 290.0  # a square: both axes of a ROC curve run from 0 to 1
FLAT = 200.0  # the bottom of a chart whose axes have nothing in common
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")  # told apart in grey print, not by colour alone
_KEY_ROW = 15.0


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
        bands: outlines of areas around lines.
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
    bands: tuple[str, ...] = ()


def plane(
    across: tuple[float, float], up: tuple[float, float], *, bottom: float = BOTTOM
) -> tuple[Scale, Scale]:
    """Return the scales of a plotting area for data between two ends in both directions."""
    return Scale(*across, LEFT, RIGHT), Scale(*up, bottom, TOP)


def line_chart(
    title: str,
    scales: tuple[Scale, Scale],
    labels: tuple[str, str],
    lines: Sequence[tuple[str, str]],
    *,
    reference: str = "",
    rule: tuple[float, str] | None = None,
    marks: Sequence[tuple[float, float]] = (),
    bands: Sequence[str] = (),
    x_ticks: tuple[Tick, ...] | None = None,
    height: float | None = None,
) -> LineChart:
    """Return a chart; all that is drawn is in drawing units already.

    Args:
        lines: name and path of each; the first one stands out.
        rule: where a vertical line stands, and its text.
        x_ticks: others than those at round numbers.
        height: other than what the key needs.
    """
    x, y = scales
    return LineChart(
        title=title,
        width=WIDTH,
        height=height or y.start + 56.0 + _KEY_ROW * len(lines),
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=y.start,
        x_label=labels[0],
        y_label=labels[1],
        x_ticks=ticks(x) if x_ticks is None else x_ticks,
        y_ticks=ticks(y),
        lines=_keyed(lines, y.start),
        reference=reference,
        rule=None if rule is None else rule[0],
        rule_text="" if rule is None else rule[1],
        marks=tuple(marks),
        bands=tuple(bands),
    )


def _keyed(lines: Sequence[tuple[str, str]], bottom: float) -> tuple[Line, ...]:
    """Return the lines with their places in the key below the chart, one a row."""
    top = bottom + 52.0
    return tuple(
        Line(name, d, DASHES[index % len(DASHES)], index == 0, LEFT, top + index * _KEY_ROW)
        for index, (name, d) in enumerate(lines)
    )


def band(xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], x: Scale, y: Scale) -> str:
    """Return the outline of the area between two lines, kept inside the scale; "" without one.

    Where several points stand above one another the band is the same at all of them.
    """
    if not lows:
        return ""
    most = MAX_POINTS // 2

    def kept(values: Sequence[float]) -> list[float]:
        return [min(max(value, y.low), y.high) for value in thin(values, most)]

    across = thin(xs, most)
    there, back = path(across, kept(highs), x, y), path(across[::-1], kept(lows)[::-1], x, y)
    return f"{there}L{back[1:]}Z"


_ALONE = 3  # there is room for on page 1
_AREAS = {"auroc": "AUROC", "average_precision": "AP"}


def roc_chart(evaluation: Evaluation, *, alone: bool = False) -> LineChart | None:
    """Return the ROC curves, `alone` that of the positive class or of the weakest ones; None without a curve."""
    labels = ("1 − specificity", "Sensitivity")
    own = [curve for curve in evaluation.roc if curve.name == evaluation.positive]
    drawn = (own or drawn_curves(evaluation, evaluation.roc)[:_ALONE]) if alone else evaluation.roc
    return _curve_chart(evaluation, drawn, "auroc", "ROC curve", labels, diagonal=True)


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

    return sorted(curves, key=place)[: len(DASHES)]


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
    x, y = plane((0.0, 1.0), (0.0, 1.0))
    names = [_with_area(evaluation, curve.name, area) for curve in drawn]
    points = [curve.operating_point for curve in drawn if curve.operating_point is not None]
    paths = [path(curve.x, curve.y, x, y) for curve in drawn]
    spoken = [f"operating point at {percent(point[0])}, {percent(point[1])}" for point in points[:1]]
    first = drawn[0]  # one band can be seen, several cover one another
    around = band(first.x, first.low, first.high, x, y)
    return line_chart(
        "; ".join([f"{kind}: {', '.join(names)}", *spoken, *(["with its 95 % band"] if around else [])]),
        (x, y),
        labels,
        list(zip([shortened(name, 40) for name in names], paths, strict=True)),
        reference=path((0.0, 1.0), (0.0, 1.0), x, y) if diagonal else "",
        marks=[(x(across), y(up)) for across, up in points],
        bands=[around] if around else [],
    )


def _with_area(evaluation: Evaluation, name: str, area: str) -> str:
    of_class = evaluation.per_class.get(name, {})
    estimate = (evaluation.metrics if name == evaluation.positive else of_class).get(area)
    if estimate is None or estimate.value is None:
        return shortened(name, 34)
    return f"{shortened(name, 20)}, {_AREAS[area]} {number(estimate.value)}"


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
        _epoch_chart(history, list(epochs), figures[: len(DASHES)], "Validation figure", best_epoch),
    ]
    return tuple(chart for chart in charts if chart is not None)


def _epoch_chart(
    history: pd.DataFrame, epochs: list[float], columns: list[str], label: str, best_epoch: int | None
) -> LineChart | None:
    if not columns:
        return None
    values = [value for name in columns for value in history[name]]
    low, high = outline(values, floor=0.0 if label == "Loss" else None)
    x, y = plane((min(epochs), max(epochs)), (low, high), bottom=FLAT)
    names = [_column_title(name) for name in columns]
    best = best_epoch if best_epoch is not None and min(epochs) <= best_epoch <= max(epochs) else None
    paths = [path(epochs, list(history[name]), x, y) for name in columns]
    return line_chart(
        f"{label} by epoch: {', '.join(names)}" + ("" if best is None else f"; best epoch {best}"),
        (x, y),
        ("Epoch", label),
        list(zip(names, paths, strict=True)),
        rule=None if best is None else (x(best), f"best epoch {best}"),
        marks=_lone_points(epochs, history, columns, x, y),
        x_ticks=ticks(x, count=6, whole=True),
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
