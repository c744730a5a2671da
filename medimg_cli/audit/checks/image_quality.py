"""Images that show nothing, or show it badly: blank, dark, blurry, turned, a negative, crushed by compression."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding
from medimg_cli.audit.orientation import CommonLayout, fit_common_layout, why_no_up
from medimg_cli.workspace.plain_text import plural

Scores = NDArray[np.float64]
Bad = NDArray[np.bool_]

# What every tenth image has, and is not far out with, is how the modality looks: fundus pictures are dark.
MODALITY_SHARE = 0.10
_FEWEST_IMAGES = 20  # below, quartiles say nothing about peers
_FENCE = 3.0  # quartile ranges below the lower quartile: Tukey's "far out"
# The same distance in a symmetric distribution, from the better half alone: bad images, which all lie below,
# cannot hide each other in it. Where it leaves out more than this share, the cohort is a mixture.
_UPPER_FENCE = 7.0
_MIXED_SHARE = 0.2
_OCTAVES = 1.0  # a size that differs by less than this beyond the peers is none to speak of
# A file that was written as one value is not always one after JPEG; the values of a mask stand far apart.
_BLANK_SHARE = 0.999
_BLANK_LEVELS = 5 / 256
_BLANK_RANGE = 5 / 255


@dataclass(frozen=True)
class Problem:
    """One way an image can be bad.

    The limit is where an image stands far out among its peers, kept between two fixed figures: below `floor`
    a score is bad in any cohort, above `ceiling` it is good in any. So one dark cohort is not compared with
    bright ones, and a tidy cohort does not make its least perfect image a flaw.

    Args:
        name: short, as it stands in the sentence on what was looked at.
        words: text about such images, after their number.
        advice: one line: what to do.
        score: table of measurements with `width` and `height` in pixels (N rows) → (N,) in 0..1.
    """

    name: str
    words: str
    advice: str
    score: Callable[[pd.DataFrame], Scores]
    floor: float
    ceiling: float

    def flag(self, scores: Scores, explained: Bad) -> tuple[Bad, Bad]:
        """Return which images (N,) have the problem, and which look so only as their kind does.

        The second are below the floor without standing out among their peers, and more than a tenth of all.

        Args:
            explained: images (N,) whose score has a cause that is reported already.
        """
        fence = self._fence(scores)
        bad = (scores < np.clip(fence, self.floor, self.ceiling)) & ~explained
        alike = bad & ~(scores < fence)
        if len(scores) < _FEWEST_IMAGES or alike.mean() <= MODALITY_SHARE:
            return bad, np.zeros_like(bad)
        return bad & ~alike, alike

    def _fence(self, scores: Scores) -> float:
        """Return the score below which one stands far out among its peers, -inf where there are too few."""
        known = scores[np.isfinite(scores)]
        if len(known) < _FEWEST_IMAGES:
            return -np.inf
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
        upper = float(middle - _UPPER_FENCE * (high - middle))
        if (known < min(upper, self.ceiling)).mean() <= _MIXED_SHARE:
            return upper
        return float(low - _FENCE * (high - low))


def is_blank(measured: pd.DataFrame) -> Bad:
    """Return which images (N,) show nothing: one value, or nearly, whatever their type.

    A 16-bit image that uses only 0..300 of its range is dark, not blank: it has 300 levels.
    """
    one_value = measured["commonest_share"] > _BLANK_SHARE
    nearly = (measured["levels"] <= _BLANK_LEVELS) & (
        measured["maximum"] - measured["minimum"] <= _BLANK_RANGE
    )
    return np.asarray(one_value | nearly, dtype=np.bool_)


def _figure(name: str) -> Callable[[pd.DataFrame], Scores]:
    return lambda measured: measured[name].to_numpy(dtype=np.float64)


def _without(name: str) -> Callable[[pd.DataFrame], Scores]:
    return lambda measured: 1.0 - measured[name].to_numpy(dtype=np.float64)


def _size_score(measured: pd.DataFrame) -> Scores:
    """Return 1/2 for an image twice as large, or half as large, as the middle half of its peers."""
    area = measured["width"].to_numpy(dtype=np.float64) * measured["height"].to_numpy(dtype=np.float64)
    return _likeness(np.sqrt(area))


def _aspect_score(measured: pd.DataFrame) -> Scores:
    """Return 1/2 for a side ratio twice, or half, that of the middle half of its peers."""
    height = measured["height"].to_numpy(dtype=np.float64)
    return _likeness(measured["width"].to_numpy(dtype=np.float64) / np.where(height > 0, height, np.nan))


def _likeness(values: Scores) -> Scores:
    """Return how near positive values are to the quartiles: 1 between them, 1/k at k times the distance."""
    logs = np.full(len(values), np.nan)
    known = np.isfinite(values) & (values > 0)
    if known.sum() < _FEWEST_IMAGES:
        return np.ones(len(values))
    logs[known] = np.log2(values[known])
    low, high = np.quantile(logs[known], [0.25, 0.75])
    beyond = np.maximum(np.maximum(low - logs, logs - high), 0.0)
    # Peers that vary make a distance count less: three of their quartile ranges are as one octave.
    return np.asarray(2.0 ** -(beyond / max(_OCTAVES, _FENCE * (high - low))))


PROBLEMS = (
    # CleanVision calls an image dark below 0.32 of p99 (of 8 bits). X-rays at 0.4 of their brightness lie around
    # it; none of 5,840 as they are lies below 0.51.
    Problem(
        "dark",
        "too dark",
        "check window and bit depth: 12 bits stored in 16 without scaling look black",
        _figure("p99"),
        0.32,
        0.5,
    ),
    Problem(
        "bright",
        "too bright",
        "look at them: overexposed or washed out, findings may be gone",
        _without("p05"),
        0.1,
        0.5,
    ),
    # A fifth of a radiograph's contrast is below 0.2, and the flattest of 5,840 has 0.33.
    Problem(
        "contrast",
        "of low contrast",
        "look at them: export them again with the right window",
        _figure("contrast"),
        0.15,
        0.35,
    ),
    # Blurred with sigma 3 at 224 px they score at most 0.28; as they are 0.39 and more (ultrasounds 0.51).
    Problem(
        "blur",
        "blurry",
        "look at them: motion, or enlarged from a thumbnail",
        _figure("sharpness"),
        0.25,
        0.35,
    ),
    Problem(
        "white clipping",
        "clipped to white",
        "look at them: what is white everywhere holds no finding",
        _without("white_share"),
        0.5,
        0.9,
    ),
    # Black around the body is as it should be: of 5,840 X-rays at most 0.29 of an image. So it needs more than
    # that, and far more than the peers have.
    Problem(
        "black clipping",
        "clipped to black",
        "look at them: the window or a crop may have cut off the anatomy",
        _without("black_share"),
        0.05,
        0.7,
    ),
    # Blockiness at quality 10 is 0.3 to 0.8 at any size; of 5,840 originals at 224 px it is at most 0.20, of 37
    # at full size 0.25.
    Problem(
        "compression",
        "with JPEG blocks",
        "get the originals: blocks of 8x8 pixels are wider than fine findings",
        _without("blockiness"),
        0.6,
        0.78,
    ),
    Problem(
        "size",
        "of odd size",
        "look at them: thumbnails, crops or another machine among the others",
        _size_score,
        0.5,
        0.5,
    ),
    Problem(
        "aspect",
        "of odd side ratio",
        "look at them: cropped, stretched, or of another view",
        _aspect_score,
        0.6,
        0.6,
    ),
)


NAME = "image-quality"
# A negative is bright where its peers are black, and what is dark has little contrast: one cause, one finding.
_FOLLOWS_FROM = {
    "bright": ("inverted",),
    "white clipping": ("inverted", "bright"),
    "black clipping": ("inverted", "dark"),
    "contrast": ("dark", "bright"),
}
_MODALITY_ADVICE = "nothing to do where such images look so; else compare the settings of the export"


@check(
    NAME,
    "images are blank, dark, bright, flat, blurry, clipped, of odd size, inverted or upside-down",
    "looks",
)
def image_quality(context: AuditContext) -> Checked:
    """Score every image for every problem, against fixed figures and against its peers.

    Raises:
        CheckSkipped: no image can be read.
    """
    images = _images(context)
    if images.empty:
        raise CheckSkipped("no image can be read")
    blank = is_blank(images)
    shown = images[~blank] if blank.any() else images
    layout = fit_common_layout([str(image) for image in shown.index], context.thumbnails.of)
    info = context.dataset.info
    no_up = why_no_up(context.dataset.usable, [*(PurePath(s).name for s in info.sources), *info.classes])
    upside_down = () if no_up else _upside_down(shown, layout)
    found = (
        *_blank(images, blank),
        *_inverted(shown, layout),
        *upside_down,
        *_badly_shown(shown, layout.inverted()),
    )
    return Checked(found, _did(len(images), layout, no_up))


def _images(context: AuditContext) -> pd.DataFrame:
    """Return the measurements of the readable images with `label`, `width` and `height`, one row an image."""
    measured = context.measurements
    rows = context.dataset.usable.drop_duplicates("image_id").set_index("image_id")
    readable = measured.index[measured["readable"].eq(True)].intersection(rows.index, sort=False)
    facts = rows.loc[readable, ["label", "width", "height"]]
    return measured.loc[readable].assign(**{str(name): facts[name] for name in facts})


def _blank(images: pd.DataFrame, blank: Bad) -> list[Finding]:
    scores = 1.0 - images["commonest_share"].to_numpy(dtype=np.float64)
    advice = (
        "look whether a wrong window made them, and exclude them: an empty picture teaches its label by heart"
    )
    found = _finding("blank: one value, or nearly", advice, images, blank, scores)
    return [replace(finding, remedy="exclude") for finding in found]


def _inverted(images: pd.DataFrame, layout: CommonLayout) -> list[Finding]:
    """Tell the images that are a negative of their peers; correlations -1..1 become scores 0..1."""
    fits = layout.upright.astype(np.float64)
    advice = "look at them: invert the files, or tell the source to apply MONOCHROME1 and VOI LUTs"
    return _finding("with inverted grey values", advice, images, layout.inverted(), (fits + 1) / 2)


def _upside_down(images: pd.DataFrame, layout: CommonLayout) -> list[Finding]:
    """Tell the images that fit their peers better turned, by the same scores."""
    gaps = (layout.upright - layout.turned).astype(np.float64)
    words = "that fit their peers better upside-down"
    advice = "look at them and turn the files; now and then it is only another anatomy or view"
    return _finding(words, advice, images, layout.upside_down(), (gaps + 2) / 4)


def _badly_shown(images: pd.DataFrame, inverted: Bad) -> Iterator[Finding]:
    """Yield what is wrong by the figures, and per problem what only describes the modality."""
    seen = {"inverted": inverted}
    for problem in PROBLEMS:
        scores = problem.score(images)
        explained = np.zeros(len(images), dtype=np.bool_)
        for cause in _FOLLOWS_FROM.get(problem.name, ()):
            explained |= seen[cause]
        bad, alike = problem.flag(scores, explained)
        seen[problem.name] = bad | alike
        yield from _finding(problem.words, problem.advice, images, bad, scores)
        for finding in _finding(problem.words, _MODALITY_ADVICE, images, alike, scores):
            message = (
                f"{alike.mean():.0%} of the images are {problem.words}: that describes the modality, no flaw"
            )
            yield replace(finding, severity="info", message=message)


def _finding(words: str, advice: str, images: pd.DataFrame, bad: Bad, scores: Scores) -> list[Finding]:
    """Return one finding on the images with a problem, worst first, none where there are none.

    Args:
        bad, scores: (N,) of `images`.
    """
    count = int(bad.sum())
    if not count:
        return []
    order = np.argsort(np.where(bad, scores, np.inf), kind="stable")[:count]
    names = [str(image) for image in images.index[order]]
    classes = images["label"].iloc[order].value_counts()
    by_class = ", ".join(f"{label}: {number:,}" for label, number in classes.items())
    notes = {name: f"score {scores[place]:.2f}" for name, place in zip(names, order, strict=True)}
    message = f"{plural(count, 'image')} {words} ({by_class})"
    return [Finding(NAME, "warning", message, advice, tuple(names), count, notes=notes)]


def _did(images: int, layout: CommonLayout, no_up: str) -> str:
    text = f"{plural(images, 'image')} scored: blank, {', '.join(problem.name for problem in PROBLEMS)}"
    if no_up and layout.is_common:
        return f"{text}, inverted; upside-down not judged: {no_up}"
    if layout.tells_up:
        return f"{text}, inverted, upside-down (common layout, r {layout.r:.2f})"
    if layout.is_common:
        return f"{text}, inverted; upside-down not judged: the layout does not tell up"
    return f"{text}; inverted, upside-down not judged: no common layout (r {layout.r:.2f})"
