"""Charts made of cells, bars and marks: confusion matrices, class counts, per-class intervals."""

from collections.abc import Mapping
from dataclasses import dataclass

from medimg_cli.evaluation.evaluation import Confusion, Evaluation
from medimg_cli.reporting.charts.scales import Scale, Tick, shortened, text_width, ticks
from medimg_cli.reporting.tables.number_format import grouped, measured, percent
from medimg_cli.statistics.estimate import Estimate

MATRIX_CLASSES = 20  # a larger matrix cannot be read on a page; its confusions are listed instead
CHART_CLASSES = 40
_SMALL_MATRIX = 6  # two of these stand side by side
FULL_WIDTH = 640.0  # the width of an A4 text block at 96 dots an inch: drawn at its own size
_SPLIT_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: its corner, text, and shade 0..1 (share of the row)."""

    x: float
    y: float
    text: str
    shade: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix ready to draw; `side` is the side of a cell, labels stand at cell middles."""

    title: str
    heading: str
    width: float
    height: float
    left: float
    top: float
    side: float
    font: float
    wide: bool
    slanted: bool
    row_labels: tuple[Tick, ...]
    column_labels: tuple[Tick, ...]
    cells: tuple[Cell, ...]


def matrices(confusion: Confusion) -> tuple[Matrix, ...]:
    """Return the matrix of counts and the one of row shares, none for too many classes."""
    if len(confusion.labels) > MATRIX_CLASSES:
        return ()
    return (
        _matrix(confusion, "Images", as_share=False),
        _matrix(confusion, "Share of each row", as_share=True),
    )


def _matrix(confusion: Confusion, heading: str, *, as_share: bool) -> Matrix:
    size = len(confusion.labels)
    wide = size > _SMALL_MATRIX
    side = max(24.0, min(40.0, 330.0 / size)) if wide else min(84.0, 230.0 / size)
    names = [shortened(name, 16) for name in confusion.labels]
    longest = max(map(text_width, names))
    slanted = longest > side - 4
    left = max(longest + 10.0, 62.0)
    top = 40.0 + (longest * 0.66 if slanted else 14.0)
    middles = [side * (index + 0.5) for index in range(size)]
    return Matrix(
        title=_spoken(confusion, heading, as_share=as_share),
        heading=heading,
        width=left + side * size + (longest * 0.72 if slanted else 4.0),
        height=top + side * size + 8.0,
        left=left,
        top=top,
        side=side,
        font=min(13.0, side / 3.0),
        wide=wide,
        slanted=slanted,
        row_labels=tuple(Tick(top + at, name) for at, name in zip(middles, names, strict=True)),
        column_labels=tuple(Tick(left + at, name) for at, name in zip(middles, names, strict=True)),
        cells=_cells(confusion, left, top, side, as_share=as_share),
    )


def _cells(confusion: Confusion, left: float, top: float, side: float, *, as_share: bool) -> tuple[Cell, ...]:
    cells = []
    for row, counts in enumerate(confusion.matrix):
        total = sum(counts)
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            text = (percent(share).removesuffix(" %") if total else "–") if as_share else grouped(count)
            cells.append(
                Cell(round(left + column * side, 2), round(top + row * side, 2), text, round(share, 3))
            )
    return tuple(cells)


def _spoken(confusion: Confusion, heading: str, *, as_share: bool) -> str:
    """Return the matrix in words, for those who hear the report."""
    rows = []
    for truth, counts in zip(confusion.labels, confusion.matrix, strict=True):
        total = sum(counts)
        told = [percent(count / total) if as_share and total else grouped(count) for count in counts]
        answers = [f"{name} {value}" for name, value in zip(confusion.labels, told, strict=True)]
        rows.append(f"reference {truth}: predicted {', '.join(answers)}")
    return f"Confusion matrix, {heading.lower()}. " + "; ".join(rows)


@dataclass(frozen=True)
class Bar:
    """A horizontal bar with its number."""

    y: float
    width: float
    text: str


@dataclass(frozen=True)
class BarPanel:
    """The bars of one split; `x` is where they start."""

    heading: str
    x: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class BarChart:
    """Class counts, one panel a split, all on one scale."""

    title: str
    width: float
    height: float
    labels: tuple[Tick, ...]
    label_x: float
    panels: tuple[BarPanel, ...]


def count_chart(counts: Mapping[str, Mapping[str, int]]) -> BarChart | None:
    """Return bars of the images of each class and split, the most frequent `CHART_CLASSES` classes.

    Args:
        counts: split → class → images.
    """
    totals = {name: sum(split[name] for split in counts.values()) for name in next(iter(counts.values()), {})}
    names = sorted(totals, key=lambda name: -totals[name])[:CHART_CLASSES]
    largest = max((split[name] for split in counts.values() for name in names), default=0)
    if not largest:
        return None
    label_x = 8.0 + max(text_width(shortened(name, 22)) for name in names)
    room = (FULL_WIDTH - label_x) / len(counts)
    scale = Scale(0.0, float(largest), 0.0, room - 62.0)
    rows = [34.0 + 20.0 * index for index in range(len(names))]
    panels = [
        BarPanel(
            _SPLIT_NAMES.get(split, split),
            round(label_x + room * place + 8.0, 2),
            tuple(
                Bar(y, scale(tally[name]), grouped(tally[name])) for name, y in zip(names, rows, strict=True)
            ),
        )
        for place, (split, tally) in enumerate(counts.items())
    ]
    told = [f"{panel.heading}: " + _told(names, panel.bars) for panel in panels]
    labels = tuple(Tick(y, shortened(name, 22)) for name, y in zip(names, rows, strict=True))
    return BarChart(
        "Images by class and split. " + "; ".join(told),
        700.0,
        rows[-1] + 24.0,
        labels,
        label_x,
        tuple(panels),
    )


def _told(names: list[str], bars: tuple[Bar, ...]) -> str:
    return ", ".join(f"{name} {bar.text}" for name, bar in zip(names, bars, strict=True))


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


def forest_chart(evaluation: Evaluation) -> ForestChart | None:
    """Return the interval plot of the classes, weakest sensitivity first; None without a defined value."""
    rows = [
        (name, figures["recall"], figures.get("precision"))
        for name, figures in evaluation.per_class.items()
        if "recall" in figures and figures["recall"].value is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: (row[1].value or 0.0, row[0]))
    rows = rows[:CHART_CLASSES]
    left = 20.0 + max(text_width(shortened(name, 22)) for name, _, _ in rows)
    scale = Scale(0.0, 100.0, left, 490.0)
    labels, whiskers = [], []
    for index, (name, recall, precision) in enumerate(rows):
        y = 28.0 + 32.0 * index
        labels.append(Tick(y + 6.0, shortened(name, 22)))
        whiskers += whiskers_of("recall", recall, y, scale, square=False)
        whiskers += whiskers_of("precision", precision, y + 13.0, scale, square=True)
    bottom = 30.0 + 32.0 * len(rows)
    told = [f"{name} sensitivity {measured('recall', recall)}" for name, recall, _ in rows]
    return ForestChart(
        title="Sensitivity and precision of each class with 95 % intervals: " + "; ".join(told),
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
