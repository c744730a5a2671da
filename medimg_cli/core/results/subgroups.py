"""The same figures in parts of the images."""

from pydantic import BaseModel, ConfigDict

from medimg_cli.core.results.estimate import Estimate


class Subgroup(BaseModel):
    """One level of one column (or of several at once).

    Args:
        level: its value; "not known" where the column is empty. Numbers stand in ranges ("40–59").
        n, patients: images and patients.
        positives: images of the positive class; None where there is none.
        metrics: recall, specificity, auroc (means over classes where none is positive); empty when suppressed.
        suppressed: why no figures are shown, "" where they are.
    """

    model_config = ConfigDict(frozen=True)

    level: str
    n: int
    patients: int
    positives: int | None
    metrics: dict[str, Estimate]
    suppressed: str = ""


class Grouping(BaseModel):
    """One column.

    Args:
        column: its name; "sex × site" for an intersection.
        groups: the largest first.
        largest_gap: metric → largest difference between two groups that are shown.
        between: metric → the two levels, lower first.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    groups: tuple[Subgroup, ...]
    largest_gap: dict[str, Estimate] = {}
    between: dict[str, tuple[str, str]] = {}


class Subgroups(BaseModel):
    """Every column that was asked for, or that the data has and readers look for.

    Args:
        absent: what readers look for and the data does not hold: sex, age, site, …
    """

    model_config = ConfigDict(frozen=True)

    groupings: tuple[Grouping, ...]
    absent: tuple[str, ...] = ()
