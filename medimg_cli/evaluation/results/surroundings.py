"""What the figures rest on: how the split differs from training, what disturbs the model, what beats chance."""

from pydantic import BaseModel

from medimg_cli.statistics.estimate import Estimate


class ShiftRow(BaseModel, frozen=True):
    """One property in training and in this split.

    Args:
        name: "share of PNEUMONIA", "mean intensity", "width (px)", "age", …
        kind: prevalence, intensity, size or metadata.
        train, here: in words, with units.
        measure: of the difference: "standardised mean difference", "Kolmogorov–Smirnov distance", "total variation".
        distance: its value.
        large: beyond what is usually called a large difference for this measure (0.2, 0.2 and 0.1 in this order), and
            beyond what chance gives with so many patients.
    """

    name: str
    kind: str
    train: str
    here: str
    measure: str
    distance: float
    large: bool


class Shift(BaseModel, frozen=True):
    """How the images of this split differ from those the model learnt from; the largest differences first."""

    rows: tuple[ShiftRow, ...]


class Disturbed(BaseModel, frozen=True):
    """The same images, disturbed.

    Args:
        disturbance: blur, noise, brightness, contrast, jpeg.
        strength: in words, with its unit ("sigma 1 px", "quality 50").
        severity: 1 or 2.
        metrics: recall and specificity at the threshold in force, auroc; macro_recall where no class is positive.
        change: of recall (or macro_recall) against the same images undisturbed, with its paired interval.
    """

    disturbance: str
    strength: str
    severity: int
    metrics: dict[str, Estimate]
    change: Estimate


class Robustness(BaseModel, frozen=True):
    """Recall under blur, noise, brightness, contrast and JPEG at two strengths.

    Args:
        n: images that were disturbed: all of the split, or 1,000 of it, as many of each class where there are so many.
        pixels: what was disturbed: the pixels a network sees, after preprocessing.
        undisturbed: their figures as they are.
    """

    n: int
    pixels: str = ""
    undisturbed: dict[str, Estimate]
    rows: tuple[Disturbed, ...]


class Baseline(BaseModel, frozen=True):
    """What needs no look at the pixels.

    Args:
        name: "majority class", "metadata only".
        uses: columns it sees.
        metrics: by the names of the evaluation.
        remark: what follows from it.
    """

    name: str
    uses: tuple[str, ...] = ()
    metrics: dict[str, Estimate]
    remark: str = ""


class Baselines(BaseModel, frozen=True):
    """The least that a model must beat.

    Args:
        absent: why a baseline is missing, "" where none is.
    """

    rows: tuple[Baseline, ...]
    absent: str = ""


class Subgroup(BaseModel, frozen=True):
    """One level of one column (or of several at once).

    Args:
        level: its value; "not known" where the column is empty. Numbers stand in ranges ("40–59").
        n, patients: images and patients.
        positives: images of the positive class; None where there is none.
        metrics: recall, specificity, auroc (means over classes where none is positive); empty when suppressed.
        suppressed: why no figures are shown, "" where they are.
        over: labels that the means are over, where they are not all of them.
    """

    level: str
    n: int
    patients: int
    positives: int | None
    metrics: dict[str, Estimate]
    suppressed: str = ""
    over: tuple[str, ...] = ()


class Grouping(BaseModel, frozen=True):
    """One column.

    Args:
        column: its name; "sex × site" for an intersection.
        groups: ranges in their order, others the largest first; rare levels together and "not known" come last.
        largest_gap: metric → largest difference between two levels that are shown, rare ones together and "not known"
            left out. Its interval is that of these two, as if nobody had searched for them.
        between: metric → the two levels, lower first.
        pairs: metric → of how many pairs the gap is the largest; of many it is above 0 by chance alone.
    """

    column: str
    groups: tuple[Subgroup, ...]
    largest_gap: dict[str, Estimate] = {}
    between: dict[str, tuple[str, str]] = {}
    pairs: dict[str, int] = {}


class Subgroups(BaseModel, frozen=True):
    """Every column that was asked for, or that the data has and readers look for.

    Args:
        absent: what readers look for and the data does not hold: sex, age, site, …
    """

    groupings: tuple[Grouping, ...]
    absent: tuple[str, ...] = ()
