"""Recall, specificity and AUROC in parts of the images, and the largest gap between two parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, bounded, even_size
from medimg_cli.evaluation.metrics.ranking import Rows, mean_area
from medimg_cli.evaluation.results.surroundings import Grouping, Subgroup, Subgroups
from medimg_cli.evaluation.subgroup_levels import (
    Levels,
    absent_from,
    asked_columns,
    crossed,
    levels_of,
    usual_columns,
)
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.statistics.areas import auroc_influence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import difference
from medimg_cli.statistics.paired_tests import correlation

OF_ONE = ("recall", "specificity", "auroc")


@dataclass(frozen=True)
class Brief:
    """The figures of some images.

    Args:
        scored: the images, N.
        over: the classes that the figures are of: the positive one, or those that are averaged over. All of them
            occur, and images without them as well.
    """

    scored: ScoredPredictions
    over: tuple[str, ...]

    @property
    def recall(self) -> str:
        """Return the name of the first of the figures: "recall", or "macro_recall" of a mean."""
        return self._names[0]

    @cached_property
    def figures(self) -> dict[str, Estimate]:
        """Return the figures by name, each with its interval."""
        scored, views = self.scored, self._views
        if self._one:
            return {name: METRICS.get(name)(views[0]) for name in OF_ONE}
        area = mean_area(self._placed, scored.sampling, auroc_influence)
        if not scored.labels.several:
            return {"macro_recall": mean_recall(scored, "a class does not occur"), "macro_auroc": area}
        shares = {f"macro_{name}": self._mean_share(name) for name in ("recall", "specificity")}
        return shares | {"macro_auroc": area}

    @cached_property
    def influences(self) -> Mapping[str, NDArray[np.float64]]:
        """Return by name what each image (N,) adds to the error of a figure; the sum is 0.

        The covariance of two figures that share patients is the sum, patient by patient, of the products.
        """
        of_figure: dict[str, Callable[[OneVsRest], NDArray[np.float64]]] = {
            "recall": lambda view: _of_share(view, True),
            "specificity": lambda view: _of_share(view, False),
            "auroc": lambda view: auroc_influence(view.truth, view.score)[1],
        }
        return {name: self._spread(of_figure[name.removeprefix("macro_")]) for name in self._names}

    def rights(self) -> NDArray[np.float64]:
        """Return (N, C'), C' the classes of `over`: 1 called, 0 missed, NaN where an image is none of the class."""
        scored = self.scored
        found = np.full((scored.n, len(self.over)), np.nan)
        for column, (name, view) in enumerate(zip(self.over, self._views, strict=True)):
            found[scored.rows_of(name)[view.truth], column] = view.called[view.truth]
        return found

    @property
    def _names(self) -> tuple[str, ...]:
        if self._one:
            return OF_ONE
        return tuple(
            f"macro_{name}" for name in OF_ONE if self.scored.labels.several or name != "specificity"
        )

    @property
    def _one(self) -> bool:
        return self.over == (self.scored.labels.positive,)

    @property
    def _views(self) -> list[OneVsRest]:
        return [self.scored.view_of(name) for name in self.over]

    @property
    def _placed(self) -> list[tuple[OneVsRest, Rows]]:
        return [(view, self.scored.rows_of(name)) for name, view in zip(self.over, self._views, strict=True)]

    def _spread(self, of_view: Callable[[OneVsRest], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the mean over the classes of what each image (N,) adds; nothing where it was not judged."""
        whole = np.zeros(self.scored.n)
        for view, rows in self._placed:
            whole[rows] += of_view(view) / len(self.over)
        return whole

    def _mean_share(self, name: str) -> Estimate:
        """Return the mean recall or specificity over labels; images that nobody judged count for none."""
        sides = [view.truth == (name == "recall") for view in self._views]
        value = float(np.mean([METRICS.get(name)(view).value or 0.0 for view in self._views]))
        units = [view.sampling.units_among(side) for view, side in zip(self._views, sides, strict=True)]
        influence = self.influences[f"macro_{name}"]
        return bounded(value, influence, self.scored.sampling, size=even_size(units))


def asked_about(scored: ScoredPredictions, least: int) -> tuple[tuple[str, ...], str]:
    """Return the classes that figures of these images can be of, or none and the reason.

    Args:
        least: images of a class that it takes; fewer say next to nothing.

    Returns:
        The positive class where one is stated. Else every class, of which none may be rare; of several labels an image
        those that are not rare.
    """
    positive = scored.labels.positive
    if positive is not None:
        return _of_positive(scored.view_of(positive), positive, least)
    images = {name: int(view.truth.sum()) for name, view in scored.views.items()}
    if scored.labels.several:
        enough = tuple(
            name for name, view in scored.views.items() if images[name] >= least and not view.truth.all()
        )
        return (
            enough,
            ""
            if enough
            else f"no label that at least {least} images carry and another does not; counts only",
        )
    rarest = min(images, key=lambda name: (images[name], name))
    if images[rarest] < least:
        return (), f"images of {rarest}: {images[rarest]}, fewer than {least}; counts only"
    return tuple(images), ""


def _of_positive(view: OneVsRest, positive: str, least: int) -> tuple[tuple[str, ...], str]:
    positives = int(view.truth.sum())
    if positives < least:
        return (), f"images of {positive}: {positives}, fewer than {least}; counts only"
    if positives == view.n:
        return (), f"no image without {positive}: counts only"
    return (positive,), ""


def _of_share(view: OneVsRest, truth: bool) -> NDArray[np.float64]:
    among = view.truth == truth
    right = (view.called == truth)[among]
    whole = np.zeros(view.n)
    whole[among] = (right - right.mean()) / len(right)
    return whole


@ANALYSES.register("subgroups")
def subgroups(subject: Subject) -> Subgroups | str:
    """Return the figures by level of each column that was asked for, else of those that readers look for.

    Groups with few positive images show counts only. An interval is of a group on its own; nothing is adjusted for how
    many groups there are.

    Raises:
        UsageError: a column that was asked for is not there.
    """
    settings, rows = subject.settings, subject.metadata
    usual = usual_columns(rows)
    columns = asked_columns(settings.subgroups, rows.columns) or usual
    absent = absent_from([*usual, *columns])
    if not columns:
        return f"the data say nothing of {', '.join(absent)}; `--subgroups COLUMN` names another column"
    single = [levels_of(rows[column], column) for column in columns]
    several = [crossed(*pair) for pair in combinations(single, 2)] if settings.intersections else []
    least = settings.min_positives
    return Subgroups(
        groupings=tuple(_grouping(subject.here, levels, least) for levels in [*single, *several]),
        absent=absent,
    )


def _grouping(here: ScoredPredictions, levels: Levels, least: int) -> Grouping:
    groups, compared = [], []
    for place, name in enumerate(levels.names):
        members = levels.codes == place
        group, brief = _subgroup(here.of(members), name, least)
        groups.append(group)
        if brief is not None and place not in levels.rest:
            compared.append(Group(name, brief, here.sampling.unit_of[members]))
    gaps = largest_gaps(compared)
    return Grouping(
        column=levels.column,
        groups=tuple(groups),
        largest_gap={name: gap.difference for name, gap in gaps.items()},
        between={name: gap.between for name, gap in gaps.items()},
        pairs={name: gap.pairs for name, gap in gaps.items()},
    )


def _subgroup(part: ScoredPredictions, name: str, least: int) -> tuple[Subgroup, Brief | None]:
    """Return what is shown of a group, and its figures where it has some."""
    positive = part.labels.positive
    over, suppressed = asked_about(part, least)
    brief = Brief(part, over) if over else None
    group = Subgroup(
        level=name,
        n=part.n,
        patients=part.sampling.units,
        positives=None if positive is None else int(part.view_of(positive).truth.sum()),
        metrics=brief.figures if brief else {},
        suppressed=suppressed,
        over=over if positive is None and 0 < len(over) < len(part.classes) else (),
    )
    return group, brief


@dataclass(frozen=True)
class Group:
    """Images that have something in common.

    Args:
        level: what they have in common.
        brief: their figures.
        units: (n,), what each of its images is drawn with, in the numbers of the whole sampling: a patient of two
            groups has the same number in both.
    """

    level: str
    brief: Brief
    units: NDArray[np.int64]


@dataclass(frozen=True)
class Gap:
    """The largest difference of one figure.

    Args:
        difference: higher − lower, with the interval of these two groups as if nobody had searched for them.
        between: level of the lower one, level of the higher one.
        pairs: of how many pairs it is the largest.
    """

    difference: Estimate
    between: tuple[str, str]
    pairs: int


def largest_gaps(groups: Sequence[Group]) -> dict[str, Gap]:
    """Return figure → its largest difference between two groups whose figures are of the same classes.

    A group's own interval makes that of the difference; patients with images in both groups let their errors go
    together, which is taken into account. The largest of many differences is above 0 by chance alone.
    """
    pairs = [pair for pair in combinations(groups, 2) if pair[0].brief.over == pair[1].brief.over]
    names = dict.fromkeys(name for group in groups for name in group.brief.figures)
    gaps = {name: _largest(name, pairs) for name in names}
    return {name: gap for name, gap in gaps.items() if gap is not None}


def _largest(name: str, pairs: Sequence[tuple[Group, Group]]) -> Gap | None:
    found = [
        tuple(sorted(((_value(group, name), group) for group in pair), key=lambda each: each[0]))
        for pair in pairs
        if all(group.brief.figures[name].value is not None for group in pair)
    ]
    if not found:
        return None
    (_, lower), (_, higher) = max(found, key=lambda pair: pair[1][0] - pair[0][0])
    between = difference(
        higher.brief.figures[name],
        lower.brief.figures[name],
        correlation=_correlation(name, higher, lower),
    )
    return Gap(between, (lower.level, higher.level), len(found))


def _value(group: Group, name: str) -> float:
    value = group.brief.figures[name].value
    return float("nan") if value is None else value


def _correlation(name: str, first: Group, second: Group) -> float:
    """Return how the errors of a figure in two groups go together, −1..1; 0 where they share no patient."""
    if not np.isin(first.units, second.units).any():
        return 0.0
    units = int(max(first.units.max(), second.units.max())) + 1
    one, other = (
        np.bincount(group.units, weights=group.brief.influences[name], minlength=units).astype(np.float64)
        for group in (first, second)
    )
    return correlation(one, other)
