"""Recall, specificity and AUROC in parts of the images, and the largest gap between two parts."""

from collections.abc import Sequence
from itertools import combinations

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.group_figures import Brief, asked_about
from medimg_cli.evaluation.results.subgroups import Grouping, Subgroup, Subgroups
from medimg_cli.evaluation.subgroup_gaps import Group, largest_gaps
from medimg_cli.evaluation.subgroup_levels import (
    Levels,
    absent_from,
    asked_columns,
    crossed,
    levels_of,
    usual_columns,
)


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
        over=over if _is_a_part(over, part.classes, positive) else (),
    )
    return group, brief


def _is_a_part(over: Sequence[str], classes: Sequence[str], positive: str | None) -> bool:
    return positive is None and 0 < len(over) < len(classes)
