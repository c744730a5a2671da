"""Images that show nothing, or show it badly: blank, dark, blurry, turned, a negative, crushed by compression."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

import numpy as np
import pandas as pd

from medimg_cli.audit.checks import check, plural
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding
from medimg_cli.audit.measurements.quality import PROBLEMS, Bad, Scores, is_blank
from medimg_cli.audit.orientation import CommonLayout, fit_common_layout, why_no_up

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
    shown = images[~blank]
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
    return measured.loc[readable].join(rows.loc[readable, ["label", "width", "height"]])


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
        bad, alike = problem.judge(scores, explained)
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
    told = ", ".join(f"{label}: {number:,}" for label, number in classes.items())
    notes = {name: f"score {scores[place]:.2f}" for name, place in zip(names, order, strict=True)}
    message = f"{plural(count, 'image')} {words} ({told})"
    return [Finding(NAME, "warning", message, advice, tuple(names), count, notes=notes)]


def _did(images: int, layout: CommonLayout, no_up: str) -> str:
    told = f"{plural(images, 'image')} scored: blank, {', '.join(problem.name for problem in PROBLEMS)}"
    if no_up and layout.is_common:
        return f"{told}, inverted; upside-down not judged: {no_up}"
    if layout.tells_up:
        return f"{told}, inverted, upside-down (common layout, r {layout.r:.2f})"
    if layout.is_common:
        return f"{told}, inverted; upside-down not judged: the layout does not tell up"
    return f"{told}; inverted, upside-down not judged: no common layout (r {layout.r:.2f})"
