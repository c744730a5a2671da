"""How well several readers agree on the labels, where the table had one column a reader."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isnan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.statistics.intervals import LEVEL, REPLICATES
from medimg_cli.workspace.plain_text import plural

_BATCH = 200
"""Replicates at once: patients × replicates in memory stay small."""


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance, at most 1.

    Args:
        value: NaN where only one label occurs.
        low, high: 95 % percentile interval, patients drawn with replacement; NaN where there is none.
        images: with two labels or more, which alone tell anything.
    """

    value: float
    low: float
    high: float
    images: int


def cohen(first: Sequence[str], second: Sequence[str], patients: Sequence[str]) -> Kappa:
    """Return the kappa of two readers (N,) over the images both labelled; "" = not labelled.

    Cohen J. Educ Psychol Meas 1960;20:37-46.
    """
    a, b = np.asarray(first, dtype=object), np.asarray(second, dtype=object)
    both = (a != "") & (b != "")
    names = sorted({*a[both], *b[both]})
    size = len(names)
    codes = {name: code for code, name in enumerate(names)}
    cells = np.array([codes[x] * size + codes[y] for x, y in zip(a[both], b[both], strict=True)], dtype=int)
    tables = np.zeros((len(cells), size * size))
    tables[np.arange(len(cells)), cells] = 1

    def kappas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        table = sums.reshape(-1, size, size)
        n = table.sum(axis=(1, 2))
        observed = np.trace(table, axis1=1, axis2=2) / n
        chance = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / n**2
        return _beyond_chance(observed, chance)

    return _with_interval(tables, np.asarray(patients, dtype=object)[both], kappas)


def fleiss(ratings: Sequence[Sequence[str]], patients: Sequence[str]) -> Kappa:
    """Return the kappa of any number of readers over the images with two labels or more; "" = not labelled.

    Fleiss JL. Psychol Bull 1971;76:378-382. Readers may be missing: each image counts with the share of its
    own pairs that agree, and the frequency of a label is the mean of its share in each image.

    Args:
        ratings: (N, readers).
    """
    table = np.asarray(ratings, dtype=object).reshape(len(ratings), -1)
    given = (table != "").sum(axis=1)
    kept = given >= 2
    table, given = table[kept], given[kept]
    names = sorted(set(table.ravel()) - {""})
    counts = np.stack([(table == name).sum(axis=1) for name in names], axis=1) if names else np.zeros((0, 0))
    agreeing = (counts * (counts - 1)).sum(axis=1) / (given * (given - 1))
    shares = counts / given[:, None]
    rows = np.column_stack([np.ones(len(counts)), agreeing, shares]).astype(np.float64)

    def kappas(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n = sums[:, 0]
        return _beyond_chance(sums[:, 1] / n, ((sums[:, 2:] / n[:, None]) ** 2).sum(axis=1))

    return _with_interval(rows, np.asarray(patients, dtype=object)[kept], kappas)


def _with_interval(
    rows: NDArray[np.float64],
    patients: NDArray[np.object_],
    kappas: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Kappa:
    """Return the kappa of the sum of `rows` (N, D), and its spread over sums of drawn patients, seed fixed."""
    if not len(rows):
        return Kappa(float("nan"), float("nan"), float("nan"), 0)
    value = float(kappas(rows.sum(axis=0)[None])[0])
    names, owner = np.unique(patients.astype(str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, owner, rows)
    generator = np.random.default_rng(0)
    shares = np.full(len(names), 1 / len(names))
    drawn = [
        kappas(generator.multinomial(len(names), shares, size=_BATCH) @ sums)
        for _ in range(REPLICATES // _BATCH)
    ]
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    # Where all agree every replicate does: that says nothing about how wide the interval is.
    if len(values) < REPLICATES // 2 or values.min() == values.max():
        return Kappa(value, float("nan"), float("nan"), len(rows))
    low, high = np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Kappa(value, float(low), float(high), len(rows))


def _beyond_chance(observed: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (observed - chance) / (1 - chance), NaN where chance alone agrees always."""
    room = 1 - chance
    result = np.full(len(observed), np.nan)
    np.divide(observed - chance, room, out=result, where=room > 1e-12)
    return result


NAME = "annotator-agreement"
MIN_IMAGES = 10
# "Substantial" begins above it: Landis JR, Koch GG. Biometrics 1977;33:159-174.
SUBSTANTIAL = 0.60
_DEGREES = ((0.0, "poor"), (0.20, "slight"), (0.40, "fair"), (SUBSTANTIAL, "moderate"))
_TIED = "annotators disagree: "


@dataclass(frozen=True)
class _Readings:
    """The label that each reader gave.

    Args:
        readers: names of their columns in the table of labels.
        labels: (N, readers), "" where one gave none; usable images first, then those without a majority.
        patients: (N,).
        image_ids: of the usable images, the first rows of `labels`.
    """

    readers: list[str]
    labels: list[list[str]]
    patients: list[str]
    image_ids: list[str]

    @property
    def undecided(self) -> int:
        """Return how many images have no majority; ingest put them into quarantine."""
        return len(self.labels) - len(self.image_ids)


@check(NAME, "readers agree less than a reference standard needs, or differ about single images")
def annotator_agreement(context: AuditContext) -> Checked:
    """Measure Cohen's kappa of two readers, Fleiss' of more, and list the images they differ about.

    Raises:
        CheckSkipped: there is one column of labels, or hardly an image that two readers labelled.
    """
    readings = _readings(context.dataset, context.quarantine)
    readers = len(readings.readers)
    kappa = _kappa(readings)
    if kappa.images < MIN_IMAGES:
        raise CheckSkipped(
            f"{plural(kappa.images, 'image')} with labels of two readers; {MIN_IMAGES} are needed"
        )
    who = "Cohen's kappa of 2 readers" if readers == 2 else f"Fleiss' kappa of {readers} readers"
    agreement = "undefined, as only one label occurs" if isnan(kappa.value) else _figures(kappa)
    did = f"{who} on {plural(kappa.images, 'image')}, those without a majority included: {agreement}"
    unlike = {
        image: _labels_by_reader(readings.readers, labels)
        for image, labels in zip(readings.image_ids, readings.labels, strict=False)
        if len(set(labels) - {""}) > 1
    }
    findings = []
    if kappa.value < SUBSTANTIAL:
        findings.append(_low(kappa, who, readings, unlike))
    if unlike or readings.undecided:
        findings.append(_differences(kappa, readings, unlike))
    return Checked(tuple(findings), did)


def _kappa(readings: _Readings) -> Kappa:
    if len(readings.readers) > 2:
        return fleiss(readings.labels, readings.patients)
    first, second = ([labels[reader] for labels in readings.labels] for reader in range(2))
    return cohen(first, second, readings.patients)


def _readings(dataset: Dataset, quarantine: pd.DataFrame) -> _Readings:
    """Gather every reader's labels from the manifest, and from the quarantine where no majority was found.

    Without the latter two readers would always agree, for an image they differ about has no majority.

    Raises:
        CheckSkipped: fewer than two columns of readers.
    """
    readers = _readers(dataset)
    if len(readers) < 2:
        raise CheckSkipped("one column of labels: give `ingest --label-col A,B,C` one column a reader")
    rows = dataset.usable
    labels = rows[[f"label_{reader}" for reader in readers]].to_numpy().tolist()
    ties = [text for text in quarantine["reason"].astype(str) if text.startswith(_TIED)]
    undecided = [_parsed(text.removeprefix(_TIED), readers) for text in ties]
    # A quarantined file has no patient in the manifest: each counts as one of its own.
    strangers = [f"\0undecided {number}" for number in range(len(undecided))]
    return _Readings(
        readers, labels + undecided, [*map(str, rows["patient_id"]), *strangers], list(rows["image_id"])
    )


def _readers(dataset: Dataset) -> list[str]:
    """Return the readers in the order their columns were named in; ingest keeps them as `label_NAME`."""
    named = [str(origin.reading.get("label_col") or "") for origin in dataset.info.origins]
    names = dict.fromkeys(name.strip() for text in named for name in text.split(","))
    return [name for name in names if name and f"label_{name}" in dataset.rows.columns]


def _parsed(text: str, readers: list[str]) -> list[str]:
    """Return the label of each reader as the reason "ann Sick, bob Well" tells them, "" for none.

    >>> _parsed("ann Sick, cid Well", ["ann", "bob", "cid"])
    ['Sick', '', 'Well']
    """
    longest_first = sorted(readers, key=len, reverse=True)
    name = "|".join(re.escape(reader) for reader in longest_first)
    parts = re.split(rf"(?:^|, )({name}) ", text)
    label_of = dict(zip(parts[1::2], parts[2::2], strict=True))
    return [label_of.get(reader, "") for reader in readers]


def _low(kappa: Kappa, who: str, readings: _Readings, unlike: dict[str, str]) -> Finding:
    degree = next(name for bound, name in _DEGREES if kappa.value < bound or bound == SUBSTANTIAL)
    message = f"{who} is {_figures(kappa)}: {degree} agreement{_worst_pair(readings)}"
    advice = (
        "agree on definitions and have the images read again, or settled by a further reader: "
        "no model can be better than its reference standard"
    )
    return Finding(NAME, "warning", message, advice, tuple(unlike), kappa.images, notes=unlike)


def _worst_pair(readings: _Readings) -> str:
    if len(readings.readers) < 3:
        return ""
    columns = list(zip(*readings.labels, strict=True))
    pairs = {
        (first, second): cohen(columns[first], columns[second], readings.patients)
        for first, second in combinations(range(len(columns)), 2)
    }
    comparable = {
        pair: kappa for pair, kappa in pairs.items() if kappa.images >= MIN_IMAGES and kappa.value < 1
    }
    if not comparable:
        return ""
    pair = min(comparable, key=lambda pair: comparable[pair].value)
    first, second = (mask_identities(readings.readers[place]) for place in pair)
    return f"; least between {first} and {second} (Cohen's {comparable[pair].value:.2f})"


def _differences(kappa: Kappa, readings: _Readings, unlike: dict[str, str]) -> Finding:
    count = len(unlike) + readings.undecided
    message = f"readers differ about {count:,} of {plural(kappa.images, 'image')}"
    if readings.undecided:
        message += f"; {readings.undecided:,} of them have no majority and stand in quarantine"
    advice = "have a further reader settle them; the majority's label is used until then"
    return Finding(NAME, "info", message, advice, tuple(unlike), count, notes=unlike)


def _figures(kappa: Kappa) -> str:
    interval = "" if isnan(kappa.low) else f" (95 % interval {kappa.low:.2f} to {kappa.high:.2f})"
    return f"{kappa.value:.2f}{interval}"


def _labels_by_reader(readers: list[str], labels: list[str]) -> str:
    pairs = zip(readers, labels, strict=True)
    return ", ".join(f"{mask_identities(reader)}: {label}" for reader, label in pairs if label)
