"""How the images of a split differ from those the model learnt from.

What is usually called a large difference: from 0.2 of the standard deviation (a small effect: Cohen J. Statistical Power
Analysis, 1988), from 0.2 of the Kolmogorov–Smirnov distance, from 0.1 of the total variation. These are conventions. As
a handful of patients differ by that much by chance, a difference must also lie beyond what chance gives in 95 % of
draws of as many patients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from medimg_cli.audit.shortcuts.column_traits import OfTwoSets, of_two_sets, same_images
from medimg_cli.dataset.manifest import UNKNOWN_COLUMN
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.results.surroundings import Shift, ShiftRow

Floats = NDArray[np.float64]
STANDARDISED = "standardised mean difference"
KOLMOGOROV = "Kolmogorov–Smirnov distance"
VARIATION = "total variation"
LARGE = {STANDARDISED: 0.2, KOLMOGOROV: 0.2, VARIATION: 0.1}
_NORMAL, _KOLMOGOROV = 1.96, 1.358  # two-sided 5 % points, the second of Kolmogorov's distribution
_SHOWN_LEVELS = 3
_NOT_KNOWN = "not known"


@dataclass(frozen=True)
class _Sizes:
    """How many patients (images where these are not known) stand behind M images of training and N of here."""

    training: float
    here: float

    @property
    def noise(self) -> float:
        """Return the standard error of a difference of two means, in standard deviations."""
        return float(np.sqrt(1 / self.training + 1 / self.here))


@ANALYSES.register("shift")
def shift(subject: Subject) -> Shift | str:
    """Return differences in classes, brightness, size and metadata, the largest for their measure first."""
    training = subject.training
    if training is None or training.empty or not subject.here.n:
        return "the images the model learnt from are not known"
    if same_images(training, subject.metadata):
        return "these are the images the model learnt from"
    patients = training["patient_id"].nunique() if "patient_id" in training else len(training)
    sizes = _Sizes(patients, subject.here.sampling.units)
    properties = of_two_sets(training, subject.metadata, subject.here.classes)
    rows = [
        *_prevalences(subject, training, sizes),
        *_brightness(subject, sizes),
        *(_size(each, sizes) for each in properties if each.is_size),
        *(_metadata(each, sizes) for each in properties if not each.is_size and each.varies),
    ]
    known = [row for row in rows if row is not None]
    # Large differences come first, then how many times as large as the convention they are.
    known.sort(key=lambda row: (not row.large, -row.distance / LARGE[row.measure]))
    return Shift(rows=tuple(known))


def _row(
    name: str, kind: str, words: tuple[str, str], measure: str, distance: float, chance: float
) -> ShiftRow:
    large = distance > max(LARGE[measure], chance)
    train, here = words
    return ShiftRow(
        name=name, kind=kind, train=train, here=here, measure=measure, distance=distance, large=large
    )


def _prevalences(subject: Subject, training: pd.DataFrame, sizes: _Sizes) -> Iterator[ShiftRow]:
    """Yield one row for each label, for the positive (or second) one of two classes, for all of more together."""
    here = subject.here
    labels = training["label"].astype(str).tolist()
    if here.labels.several:
        unknown = training[UNKNOWN_COLUMN].tolist() if UNKNOWN_COLUMN in training else ()
        marks = here.labels.marks(labels, unknown)
        for index, name in enumerate(here.classes):
            yield from _share(name, marks[:, index], here.marks[:, index], sizes)
    elif len(here.classes) == 2:
        index = 1 if here.labels.positive_index is None else here.labels.positive_index
        before = np.array(labels) == here.classes[index]
        yield from _share(here.classes[index], before, here.marks[:, index], sizes)
    else:
        yield _levels(
            "shares of the classes", "prevalence", labels, here.table["y_true"].astype(str).tolist(), sizes
        )


def _share(
    name: str, before: NDArray[np.generic], now: NDArray[np.float32], sizes: _Sizes
) -> Iterator[ShiftRow]:
    """Yield the share of a class among the judged images of both sets, nothing where none was judged."""
    sides = [side[~np.isnan(side)] for side in (before.astype(np.float64), now.astype(np.float64))]
    if all(map(len, sides)):
        first, second = (float(side.mean()) for side in sides)
        chance = _chance_of_levels(np.array([[first, 1 - first], [second, 1 - second]]), sizes)
        words = (_percent(first), _percent(second))
        yield _row(f"share of {name}", "prevalence", words, VARIATION, abs(first - second), chance)


def _brightness(subject: Subject, sizes: _Sizes) -> Iterator[ShiftRow | None]:
    if subject.intensities is None:
        return
    before, now = subject.intensities
    seen = _Sizes(min(sizes.training, len(before.mean)), min(sizes.here, len(now.mean)))
    for name, sides in (
        ("mean intensity", (before.mean, now.mean)),
        ("spread of the intensity", (before.std, now.std)),
    ):
        yield _means(name, "intensity", sides, seen, unit=" % of the range", factor=100, digits=1)


def _size(each: OfTwoSets, sizes: _Sizes) -> ShiftRow | None:
    sides = np.asarray(each.training, dtype=np.float64), np.asarray(each.here, dtype=np.float64)
    return _means(each.name, "size", sides, sizes, unit=" px")


def _means(
    name: str,
    kind: str,
    sides: tuple[Floats, Floats],
    sizes: _Sizes,
    *,
    unit: str,
    factor: float = 1,
    digits: int = 0,
) -> ShiftRow | None:
    """Return a row on two means; of two constants that differ the other distance is 1, as this one has no scale."""
    before, now = (side[np.isfinite(side)] for side in sides)
    if not len(before) or not len(now):
        return None
    means, deviations = np.array([before.mean(), now.mean()]), np.array([before.std(), now.std()])
    words = [
        f"{mean:,.{digits}f} ± {deviation:,.{digits}f}{unit}"
        for mean, deviation in zip(means * factor, deviations * factor, strict=True)
    ]
    spread = float(np.sqrt((deviations**2).mean()))
    gap = float(abs(means[0] - means[1]))
    if spread <= 1e-9 * max(1.0, float(np.abs(means).max())):
        distance = float(gap > spread)
        return _row(
            name, kind, (words[0], words[1]), KOLMOGOROV, distance, min(0.99, _KOLMOGOROV * sizes.noise)
        )
    return _row(name, kind, (words[0], words[1]), STANDARDISED, gap / spread, _NORMAL * sizes.noise)


def _metadata(each: OfTwoSets, sizes: _Sizes) -> ShiftRow | None:
    if not isinstance(each.training, np.ndarray) or not isinstance(each.here, np.ndarray):
        shown = _numbered(each) if each.hidden else each
        return _levels(each.name, "metadata", list(shown.training), list(shown.here), sizes)
    before, now = (side[np.isfinite(side)] for side in (each.training, each.here))
    if not len(before) or not len(now):
        return None
    words = (_quartiles(before, len(each.training)), _quartiles(now, len(each.here)))
    distance = float(ks_2samp(before, now, method="asymp").statistic)
    chance = _KOLMOGOROV * sizes.noise
    return _row(each.name, "metadata", words, KOLMOGOROV, distance, chance)


def _levels(name: str, kind: str, before: Sequence[str], now: Sequence[str], sizes: _Sizes) -> ShiftRow:
    levels = sorted({*before, *now})
    counts = np.array(
        [pd.Series(list(side)).value_counts().reindex(levels).fillna(0) for side in (before, now)]
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    words = _commonest(levels, shares)
    return _row(name, kind, words, VARIATION, distance, _chance_of_levels(shares, sizes))


def _chance_of_levels(shares: Floats, sizes: _Sizes) -> float:
    """Return what the total variation of two draws stays below, almost always, where nothing differs.

    Half the sum of the differences' mean sizes, and 1.96 times half of their root sum of squares, which is more than the
    standard deviation of that sum.

    Args:
        shares: (2, L) of L levels.
    """
    weights = np.array([sizes.training, sizes.here]) / (sizes.training + sizes.here)
    pooled = weights @ shares
    errors = np.sqrt(pooled * (1 - pooled)) * sizes.noise
    return float(errors.sum() * np.sqrt(2 / np.pi) + _NORMAL * np.sqrt((errors**2).sum())) / 2


def _commonest(levels: Sequence[str], shares: Floats) -> tuple[str, str]:
    """Return the shares of the levels that differ most, in words, the same levels on both sides."""
    order = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:_SHOWN_LEVELS]
    words = []
    for side in shares:
        parts = [f"{levels[place] or _NOT_KNOWN} {_percent(float(side[place]))}" for place in order]
        left = 1 - float(side[order].sum())
        words.append(", ".join(parts) + (f", others {_percent(left)}" if len(levels) > _SHOWN_LEVELS else ""))
    return words[0], words[1]


def _numbered(each: OfTwoSets) -> OfTwoSets:
    """Return a property with numbers for values that may name somebody."""
    filled = sorted({str(value) for value in (*each.training, *each.here)} - {""})
    names = {"": ""} | {value: f"value {number}" for number, value in enumerate(filled, 1)}
    first, second = ([names[str(value)] for value in side] for side in (each.training, each.here))
    return OfTwoSets(each.name, first, second, hidden=True)


def _quartiles(values: Floats, n: int) -> str:
    """Return median and quartiles, and what share of n is not known."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    missing = 1 - len(values) / n
    text = f"median {middle:,.4g} ({low:,.4g}–{high:,.4g})"
    return f"{text}, {_percent(missing)} {_NOT_KNOWN}" if missing else text


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
