"""The way of the images: found, left out and why, in use, and into which split."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from medimg_cli.dataset.manifest import SPLITS, Dataset
from medimg_cli.reporting.charts.scales import shortened
from medimg_cli.reporting.tables.number_format import grouped, percent, split_title
from medimg_cli.reporting.tables.tables import exclusion_table, source_names
from medimg_cli.workspace.plain_text import plural

_WIDTH = 640.0
_MAIN, _SIDE = 300.0, 300.0
_LINE, _PAD, _GAP = 16.0, 10.0, 26.0
_REASONS, _SOURCES, _CLASSES = 4, 3, 4
_SIGNS = 46


@dataclass(frozen=True)
class Box:
    """A box with lines of text, the first one in bold."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class FlowChart:
    """Boxes, the lines between them, and the heads that make them arrows."""

    title: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    heads: tuple[str, ...]


def flow_chart(dataset: Dataset) -> FlowChart:
    """Return the diagram from the sources to the splits."""
    found = _box(0.0, 0.0, _MAIN, _found(dataset))
    sides: list[Box] = []
    for lines in (_unusable(dataset), _excluded(dataset)):
        if lines:
            y = sides[-1].y + sides[-1].height + 10.0 if sides else found.height + _GAP / 2
            sides.append(_box(_WIDTH - _SIDE, y, _SIDE, lines))
    below = sides[-1].y + sides[-1].height if sides else found.height
    lines = [f"{plural(len(dataset.usable), 'image')} in use", _patients(dataset, dataset.usable)]
    used = _box(0.0, below + _GAP / 2 + (0.0 if sides else _GAP / 2), _MAIN, lines)
    width = (_WIDTH - 2 * 20.0) / 3
    top = used.y + used.height + _GAP * 1.4
    splits = [
        _box(place * (width + 20.0), top, width, _of_split(dataset, split))
        for place, split in enumerate(SPLITS)
    ]
    tallest = max(box.height for box in splits)
    boxes = [found, *sides, used, *(Box(b.x, b.y, b.width, tallest, b.lines) for b in splits)]
    return FlowChart(
        title="Flow of the images. " + ". ".join("; ".join(box.lines) for box in boxes),
        width=_WIDTH,
        height=top + tallest + 4.0,
        boxes=tuple(boxes),
        arrows=tuple(_arrows(found, sides, used, splits)),
        heads=tuple(_heads(sides, used, splits)),
    )


def _box(x: float, y: float, width: float, lines: Sequence[str]) -> Box:
    return Box(x + 1.0, y + 1.0, width - 2.0, 2 * _PAD + _LINE * len(lines) - 4.0, tuple(lines))


def _found(dataset: Dataset) -> list[str]:
    names = source_names(dataset.info.sources)
    lines = [f"{grouped(len(dataset.rows) + dataset.info.quarantined)} found", *names[:_SOURCES]]
    if len(names) > _SOURCES:
        lines.append(f"and {plural(len(names) - _SOURCES, 'source')} more")
    return [shortened(line, _SIGNS) for line in lines]


def _unusable(dataset: Dataset) -> list[str]:
    count = dataset.info.quarantined
    return (
        [f"{plural(count, 'file')} could not be used", "reasons in dataset/quarantine.csv"] if count else []
    )


def _excluded(dataset: Dataset) -> list[str]:
    table = exclusion_table(dataset)
    if table is None:
        return []
    count = len(dataset.rows) - len(dataset.usable)
    lines = [f"{plural(count, 'image')} excluded"]
    lines += [f"{images}: {shortened(reason, _SIGNS - 8)}" for reason, images in table.rows[:_REASONS]]
    further = len(table.rows) - _REASONS + table.beyond
    return [*lines, f"and {plural(further, 'reason')} more"] if further > 0 else lines


def _patients(dataset: Dataset, rows: pd.DataFrame) -> str:
    if not dataset.info.patients_known:
        return "patients not known"
    return f"of {plural(int(rows['patient_id'].nunique()), 'patient')}"


def _of_split(dataset: Dataset, split: str) -> list[str]:
    rows = dataset.of_split(split)
    lines = [split_title(split).capitalize(), plural(len(rows), "image"), _patients(dataset, rows)]
    tally, info = dataset.counts(rows), dataset.info
    names = (info.positive,) if info.positive is not None else info.classes[:_CLASSES]
    for name in names:
        count = tally.get(name, 0)
        of = f" ({percent(count / len(rows))})" if len(rows) else ""
        lines.append(f"{shortened(name, 14)}: {grouped(count)}{of}")
    if info.positive is None and len(info.classes) > _CLASSES:
        lines.append(f"and {len(info.classes) - _CLASSES} more classes")
    return lines


def _arrows(found: Box, sides: Sequence[Box], used: Box, splits: Sequence[Box]) -> list[str]:
    """Return the trunk, its branches to what was left out, and the arrows into the splits."""
    middle = _MAIN / 2
    arrows = [f"M{middle:g} {found.y + found.height:g}V{used.y:g}"]
    arrows += [f"M{middle:g} {box.y + box.height / 2:g}H{box.x:g}" for box in sides]
    bend = used.y + used.height + _GAP * 0.6
    for box in splits:
        arrows.append(f"M{middle:g} {used.y + used.height:g}V{bend:g}H{box.x + box.width / 2:g}V{box.y:g}")
    return arrows


def _heads(sides: Sequence[Box], used: Box, splits: Sequence[Box]) -> list[str]:
    """Return the triangles at the boxes that an arrow reaches from the left, and from above."""
    heads = [f"M{box.x:g} {box.y + box.height / 2:g}l-7 -4v8Z" for box in sides]
    down = [(_MAIN / 2, used.y), *((box.x + box.width / 2, box.y) for box in splits)]
    return [*heads, *(f"M{x:g} {y:g}l-4 -7h8Z" for x, y in down)]
