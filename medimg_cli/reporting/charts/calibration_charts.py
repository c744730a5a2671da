"""Charts of what probabilities are worth: reliability, histograms, decision curves, risk against coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.evaluation.results.calibration import Abstention, ClassCalibration, ReliabilityBin
from medimg_cli.evaluation.results.decisions import DecisionCurve, Histogram
from medimg_cli.reporting.charts.curves import (
    BOTTOM,
    FLAT,
    LEFT,
    RIGHT,
    WIDTH,
    LineChart,
    band,
    line_chart,
    plane,
)
from medimg_cli.reporting.charts.scales import Scale, Tick, outline, path, shortened, ticks
from medimg_cli.reporting.tables.number_format import FEW, grouped, measured, number, percent
from medimg_cli.workspace.plain_text import plural

MOST_CLASSES = 4  # of charts that show one class each
_HISTOGRAM_ROWS = 6
_BELOW = -0.15  # net benefit is drawn down to this share of its highest value


@dataclass(frozen=True)
class Upright:
    """A point with an upright interval; `hollow` where fewer than ten images stand behind it."""

    x: float
    y: float
    low: float | None
    high: float | None
    hollow: bool


@dataclass(frozen=True)
class Column:
    """An upright bar and its count."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed share, and below it how many images each point stands for."""

    plane: LineChart
    points: tuple[Upright, ...]
    columns: tuple[Column, ...]
    base: float


@dataclass(frozen=True)
class Panel:
    """The columns of one group of images, its name above them."""

    heading: str
    top: float
    base: float
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class HistogramChart:
    """Histograms of groups of images, one below the other; `rule` is where the threshold stands."""

    title: str
    width: float
    height: float
    left: float
    right: float
    x_label: str
    x_ticks: tuple[Tick, ...]
    panels: tuple[Panel, ...]
    rule: float | None
    rule_text: str


def trust_charts(evaluation: Evaluation) -> list[tuple[Reliability | None, HistogramChart | None]]:
    """Return reliability diagram and histogram of each class that has one, the positive class first."""
    bins = {} if evaluation.calibration is None else evaluation.calibration.by_class
    spread = {} if evaluation.histograms is None else evaluation.histograms.by_class
    names = sorted(dict.fromkeys([*bins, *spread]), key=lambda name: name != evaluation.positive)
    drawn = [
        (
            reliability_chart(name, bins[name]) if name in bins else None,
            histogram_chart(name, spread[name], evaluation) if name in spread else None,
        )
        for name in names
    ]
    return [pair for pair in drawn if pair != (None, None)]


def reliability_chart(name: str, found: ClassCalibration) -> Reliability | None:
    """Return the reliability diagram of one class, None without an image."""
    if not found.bins:
        return None
    x, y = plane((0.0, 1.0), (0.0, 1.0))
    base = BOTTOM + 90.0
    texts = [
        f"{percent(each.mean)} predicted, {measured('share', each.observed)} observed" for each in found.bins
    ]
    chart = line_chart(
        f"Reliability of {name}, {plural(len(found.bins), 'bin')}: {'; '.join(texts)}",
        (x, y),
        (f"Predicted probability of {shortened(name, 24)}", "Observed share"),
        [],
        reference=path((0.0, 1.0), (0.0, 1.0), x, y),
        height=base + 6.0,
    )
    points = tuple(_upright(each, x, y) for each in found.bins)
    edges = [(each.low, each.high, each.observed.n) for each in found.bins]
    return Reliability(chart, points, columns(edges, x, base, 30.0), base)


def _upright(each: ReliabilityBin, x: Scale, y: Scale) -> Upright:
    observed = each.observed
    low, high = (None if end is None else y(end) for end in (observed.low, observed.high))
    return Upright(x(each.mean), y(observed.value or 0.0), low, high, hollow=observed.n < FEW)


def columns(
    counts: Sequence[tuple[float, float, int]], x: Scale, base: float, tallest: float
) -> tuple[Column, ...]:
    """Return upright bars that stand on `base`; what is not 0 can be seen.

    Args:
        counts: low edge, high edge and images of each.
        tallest: height of the highest, in drawing units.
    """
    most = max((count for _, _, count in counts), default=0)
    drawn = []
    for low, high, count in counts:
        if count:
            height = round(max(1.5, tallest * count / most), 2)
            left, right = x(low) + 1.0, x(high) - 1.0
            drawn.append(
                Column(left, round(base - height, 2), round(right - left, 2), height, grouped(count))
            )
    return tuple(drawn)


def histogram_chart(name: str, found: Histogram, evaluation: Evaluation) -> HistogramChart:
    """Return how the probability of a class is spread, by what the images show."""
    x = Scale(0.0, 1.0, LEFT, RIGHT)
    threshold = evaluation.thresholds.get(name) or evaluation.threshold
    panels, texts = [], []
    for place, (group, counts) in enumerate(list(found.counts.items())[:_HISTOGRAM_ROWS]):
        top = 30.0 + 128.0 * place
        edges = [(index / found.bins, (index + 1) / found.bins, count) for index, count in enumerate(counts)]
        heading = f"{shortened(group, 30)}: {plural(sum(counts), 'image')}"
        panels.append(Panel(heading, top, top + 96.0, columns(edges, x, top + 96.0, 50.0)))
        texts.append(f"{group}: {', '.join(grouped(count) for count in counts)}")
    at = "" if threshold is None else f"; the threshold is {number(threshold.value)}"
    return HistogramChart(
        title=f"Images by probability of {name}, in {found.bins} bins from 0 to 1. {'; '.join(texts)}{at}",
        width=WIDTH,
        height=panels[-1].base + 44.0,
        left=LEFT,
        right=RIGHT,
        x_label=f"Probability of {shortened(name, 24)}",
        x_ticks=ticks(x),
        panels=tuple(panels),
        rule=None if threshold is None else x(threshold.value),
        rule_text="" if threshold is None else f"threshold {number(threshold.value)}",
    )


def decision_chart(name: str, found: DecisionCurve) -> LineChart | None:
    """Return net benefit by threshold probability, None without a threshold."""
    if not found.thresholds:
        return None
    _, most = outline([*found.model, *found.high, *found.treat_all], floor=0.0)
    xs, low = found.thresholds, _BELOW * most
    x, y = plane((min(0.0, xs[0]), xs[-1]), (low, most), bottom=FLAT)

    def inside(values: Sequence[float]) -> list[float]:
        return [value if value >= low else float("nan") for value in values]

    useful = "never above acting on every image and on none"
    if found.useful_from is not None and found.useful_to is not None:
        useful = f"above both others from {number(found.useful_from, 2)} to {number(found.useful_to, 2)}"
    around = band(xs, found.low, found.high, x, y)
    return line_chart(
        f"Decision curve of {name}: the model is {useful}",
        (x, y),
        (f"Probability of {shortened(name, 16)} from which one would act", "Net benefit"),
        [
            ("acting on the answers of the model", path(xs, inside(found.model), x, y)),
            ("acting on every image", path(xs, inside(found.treat_all), x, y)),
            ("acting on none", path((xs[0], xs[-1]), (0.0, 0.0), x, y)),
        ],
        bands=[around] if around else [],
    )


def coverage_chart(found: Abstention) -> LineChart | None:
    """Return wrong decisions among the answered images, by how many are answered; None without a point."""
    if not found.coverage:
        return None
    errors = [row for row in found.referrals if row.error.value is not None]
    _, most = outline([*found.risk, *(row.error.value or 0.0 for row in errors)], floor=0.0)
    x, y = plane((0.0, 1.0), (0.0, most), bottom=FLAT)
    texts = [f"{percent(row.share)} referred, {measured('share', row.error)} wrong" for row in errors]
    return line_chart(
        f"Wrong decisions by share of images answered, area {number(found.aurc)}: {'; '.join(texts)}",
        (x, y),
        ("Share of the images answered", "Share answered wrongly"),
        [("the most certain images first", path(found.coverage, found.risk, x, y))],
        marks=[(x(1.0 - row.share), y(row.error.value or 0.0)) for row in errors],
    )
