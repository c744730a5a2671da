"""The same figures in parts of the images."""

from pydantic import BaseModel, ConfigDict

from medimg_cli.statistics.estimate import Estimate


class Subgroup(BaseModel):
    """One level of one column (or of several at once).

    Args:
        level: its value; "not known" where the column is empty. Numbers stand in ranges ("40–59").
        n, patients: images and patients.
        positives: images of the positive class; None where there is none.
        metrics: recall, specificity, auroc (means over classes where none is positive); empty when suppressed.
        suppressed: why no figures are shown, "" where they are.
        over: labels that the means are over, where they are not all of them.
    """

    model_config = ConfigDict(frozen=True)

    level: str
    n: int
    patients: int
    positives: int | None
    metrics: dict[str, Estimate]
    suppressed: str = ""
    over: tuple[str, ...] = ()


class Grouping(BaseModel):
    """One column.

    Args:
        column: its name; "sex × site" for an intersection.
        groups: ranges in their order, others the largest first; rare levels together and "not known" come last.
        largest_gap: metric → largest difference between two levels that are shown, rare ones together and "not known"
            left out. Its interval is that of these two, as if nobody had searched for them.
        between: metric → the two levels, lower first.
        pairs: metric → of how many pairs the gap is the largest; of many it is above 0 by chance alone.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    groups: tuple[Subgroup, ...]
    largest_gap: dict[str, Estimate] = {}
    between: dict[str, tuple[str, str]] = {}
    pairs: dict[str, int] = {}


class Subgroups(BaseModel):
    """Every column that was asked for, or that the data has and readers look for.

    Args:
        absent: what readers look for and the data does not hold: sex, age, site, …
    """

    model_config = ConfigDict(frozen=True)

    groupings: tuple[Grouping, ...]
    absent: tuple[str, ...] = ()
