"""Scales, ticks and paths: from data to the coordinates of an SVG drawing (y grows downwards)."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

MAX_POINTS = 200  # of a curve: more cannot be told apart at the size of a page and only make it heavy
_WORD = re.compile(r"\S+")
_LONG_WORD = 18  # in columns, as "Cardiothoracic" has 14


@dataclass(frozen=True)
class Scale:
    """A linear map from data to drawing units.

    Args:
        low, high: ends of the data; equal ends map to the middle.
        start, stop: where they are drawn.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 2)


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is drawn, and its text."""

    at: float
    text: str


def nice_step(span: float, count: int) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that cuts `span` in at most `count` parts.

    >>> nice_step(1.0, 5), nice_step(37.0, 5)
    (0.2, 10.0)
    """
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    multiple = next(step for step in (1, 2, 5, 10) if raw <= step * power * (1 + 1e-9))
    return multiple * power


def ticks(scale: Scale, *, count: int = 5, whole: bool = False) -> tuple[Tick, ...]:
    """Return marks at round numbers inside the scale.

    Args:
        count: at most this many parts.
        whole: only whole numbers (epochs, images).
    """
    if scale.high <= scale.low:
        return (Tick(scale(scale.low), f"{scale.low:g}"),)
    step = nice_step(scale.high - scale.low, count)
    step = max(1.0, step) if whole else step
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return tuple(Tick(scale(index * step), f"{index * step:.{digits}f}") for index in range(first, last + 1))


def outline(values: Sequence[float], *, floor: float | None = None) -> tuple[float, float]:
    """Return round ends that hold all finite values, with `floor` as the lower end where it is given.

    Values may hold NaN; without a finite one the ends are 0 and 1.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite) if floor is None else min(floor, *finite), max(finite)
    if high <= low:
        return low - 0.5, high + 0.5
    step = nice_step(high - low, 5)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def thin(values: Sequence[float], most: int = MAX_POINTS) -> list[float]:
    """Return at most `most` values, evenly picked, first and last kept."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def path(xs: Sequence[float], ys: Sequence[float], x: Scale, y: Scale) -> str:
    """Return the `d` of a polyline through the points; NaN lifts the pen."""
    commands = []
    pen_down = False
    for horizontal, vertical in zip(thin(xs), thin(ys), strict=True):
        if not (math.isfinite(horizontal) and math.isfinite(vertical)):
            pen_down = False
            continue
        commands.append(f"{'L' if pen_down else 'M'}{x(horizontal):g} {y(vertical):g}")
        pen_down = True
    return "".join(commands)


def text_width(text: str, size: float = 11.0) -> float:
    """Return how wide a text is at most, in drawing units, in a font as wide as DejaVu Sans."""
    return size * sum(
        1.0 if _columns(sign) == 2 else 0.78 if sign.isupper() or sign in "mw%@…" else 0.62 for sign in text
    )


_NAME_COLUMNS = 60


def shortened(text: str, most: int) -> str:
    """Return `text` cut to `most` columns, the cut shown by "…"; a sign of East Asian width takes two.

    A name is cut in its middle, as names that begin alike often end differently; words of more than 60 columns, at
    their end. A text with
    signs written from right to left is isolated, so that what stands beside it keeps its place (Unicode Standard
    Annex 9, FSI and PDI).
    """
    kept = text
    if sum(map(_columns, text)) > most:
        tail = "" if " " in text.strip() and most > _NAME_COLUMNS else _fitting(text[::-1], most // 3)[::-1]
        kept = f"{_fitting(text, most - 1 - sum(map(_columns, tail))).rstrip()}…{tail}"
    return (
        f"\u2068{kept}\u2069"
        if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in kept)
        else kept
    )


def squeezed(text: str, most: int = 28) -> str:
    """Return `text` with every word cut to `most` columns that would fill a page with one name; East Asian text may break.

    >>> squeezed("found 3 of " + "x" * 40 + "7")
    'found 3 of xxxxxxxxxxxxxxxxxx…xxxxxxxx7'
    """
    return _WORD.sub(lambda word: shortened(word[0], most * (2 if any(map(_is_wide, word[0])) else 1)), text)


def short_name(name: str) -> str:
    """Return a class, column or level as it stands in tables and sentences: of more than 60 signs, 36 columns are left."""
    kept = squeezed(name)
    return shortened(kept, 36) if len(kept) > _NAME_COLUMNS else kept


def _fitting(text: str, most: int) -> str:
    return text[: sum(end <= most for end in accumulate(map(_columns, text)))]


def has_long_word(text: str) -> bool:
    """Return whether a text holds a word that no column of a table is wide enough for."""
    return any(sum(map(_columns, word)) > _LONG_WORD for word in text.split())


def _is_wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in "WF"


def _columns(sign: str) -> int:
    return 2 if _is_wide(sign) else 1
