"""The confusion matrix: counts, and below each its share of the row."""

from dataclasses import dataclass

from medimg_cli.evaluation.evaluation import Confusion
from medimg_cli.reporting.charts.scales import Tick, shortened, text_width
from medimg_cli.reporting.tables.number_format import grouped, percent

MATRIX_CLASSES = 20  # a larger matrix cannot be read on a page; its confusions are listed instead
_SMALL_MATRIX = 6  # beside it there is room for a list


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: its corner, its count, and its share of the row, 0..1 and in words."""

    x: float
    y: float
    text: str
    shade: float
    share: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix ready to draw; `side` is the side of a cell, labels stand at cell middles."""

    title: str
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


def confusion_matrix(confusion: Confusion | None) -> Matrix | None:
    """Return the matrix, None where there is none or it has too many classes."""
    if confusion is None or len(confusion.labels) > MATRIX_CLASSES:
        return None
    size = len(confusion.labels)
    wide = size > _SMALL_MATRIX
    side = max(26.0, min(40.0, 330.0 / size)) if wide else min(70.0, 230.0 / size)
    names = [shortened(name, 16) for name in confusion.labels]
    longest = max(map(text_width, names))
    slanted = longest > side - 4
    left = max(longest + 10.0, 62.0)
    top = 26.0 + (longest * 0.66 if slanted else 14.0)
    middles = [side * (index + 0.5) for index in range(size)]
    return Matrix(
        title=_spoken(confusion),
        width=left + side * size + (longest * 0.78 if slanted else 4.0),
        height=top + side * size + 4.0,
        left=left,
        top=top,
        side=side,
        font=min(13.0, side / 3.0),
        wide=wide,
        slanted=slanted,
        row_labels=tuple(Tick(top + at, name) for at, name in zip(middles, names, strict=True)),
        column_labels=tuple(Tick(left + at, name) for at, name in zip(middles, names, strict=True)),
        cells=tuple(_cells(confusion, left, top, side)),
    )


def _cells(confusion: Confusion, left: float, top: float, side: float) -> list[Cell]:
    cells = []
    for row, counts in enumerate(confusion.matrix):
        total = sum(counts)
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            label = percent(share) if total and side >= 40.0 else ""
            x, y = round(left + column * side, 2), round(top + row * side, 2)
            cells.append(Cell(x, y, grouped(count), round(share, 3), label))
    return cells


def _spoken(confusion: Confusion) -> str:
    """Return the matrix in words, for those who hear the report."""
    rows = []
    for truth, counts in zip(confusion.labels, confusion.matrix, strict=True):
        answers = [
            f"{name} {grouped(count)}" for name, count in zip(confusion.labels, counts, strict=True) if count
        ]
        rows.append(f"reference {truth}: predicted {', '.join(answers) or 'none'}")
    return "Confusion matrix. " + "; ".join(rows)
