"""Recall, specificity and AUROC in parts of the images, and the largest gap between two parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.group_figures import Brief, asked_about
from medimg_cli.evaluation.results.subgroups import Grouping, Subgroup, Subgroups
from medimg_cli.evaluation.subgroup_levels import (
    Levels,
    absent_from,
    asked_columns,
    crossed,
    levels_of,
    usual_columns,
)
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import difference
from medimg_cli.statistics.paired_tests import correlation


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


def _grouping(here: Answered, levels: Levels, least: int) -> Grouping:
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


def _subgroup(part: Answered, name: str, least: int) -> tuple[Subgroup, Brief | None]:
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
