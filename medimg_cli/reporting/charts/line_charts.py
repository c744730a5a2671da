"""What every chart made of lines has: a plane with axes, lines with a key, bands."""

from collections.abc import Sequence
from dataclasses import dataclass

from medimg_cli.reporting.charts.scales import MAX_POINTS, Scale, Tick, path, thin, ticks

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
