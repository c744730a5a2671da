"""Charts made of lines: ROC, precision-recall and learning curves."""

import math
from collections.abc import Sequence

import pandas as pd

from medimg_cli.evaluation.evaluation import Curve, Evaluation
from medimg_cli.reporting.charts.line_charts import DASHES, FLAT, LineChart, band, line_chart, plane
from medimg_cli.reporting.charts.scales import Scale, outline, path, shortened, ticks
from medimg_cli.reporting.tables.number_format import metric_title, number, percent

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
