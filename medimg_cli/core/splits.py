"""Splits: stratified by class, grouped by patient, decided by seed and identity alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pandas as pd


def assign_splits(
    labels: Sequence[str], patients: Sequence[str], *, fractions: dict[str, float], seed: int
) -> list[str]:
    """Return the split name of each image.

    A patient's images stay together. Patients are ranked by a keyed hash of their id within the class
    most of their images have (rarer class on a tie), then cut at the wanted share of that class's images,
    so the result does not depend on the order of the input.

    Args:
        labels: class of each image (N,).
        patients: patient of each image (N,).
        fractions: split name → wanted share; shares sum to 1, zero shares get nobody.
        seed: another seed gives another split.
    """
    frequency = Counter(labels)
    frame = pd.DataFrame({"label": list(labels), "patient": list(patients)})
    strata: dict[str, list[tuple[str, str, int]]] = {}
    for patient, images in frame.groupby("patient", sort=False)["label"]:
        counts = Counter(images)
        stratum = min(counts, key=lambda label: (-counts[label], frequency[label], label))
        rank = hashlib.sha256(f"{seed}\0{patient}".encode()).hexdigest()
        strata.setdefault(stratum, []).append((rank, str(patient), len(images)))
    names = [name for name, share in fractions.items() if share > 0]
    of_patient: dict[str, str] = {}
    for ranked in strata.values():
        of_patient |= _cut(sorted(ranked), names, fractions)
    return [of_patient[str(patient)] for patient in patients]


def _cut(ranked: list[tuple[str, str, int]], names: list[str], fractions: dict[str, float]) -> dict[str, str]:
    """Cut one stratum's ranked (hash, patient, images) so that every split gets its share of images."""
    total = sum(images for _, _, images in ranked)
    result: dict[str, str] = {}
    seen = 0
    for _, patient, images in ranked:
        middle = (seen + images / 2) / total
        seen += images
        result[patient] = _split_at(middle, names, fractions)
    _fill_empty(result, [patient for _, patient, _ in ranked], names)
    return result


def _split_at(position: float, names: list[str], fractions: dict[str, float]) -> str:
    edge = 0.0
    for name in names:
        edge += fractions[name]
        if position < edge:
            return name
    return names[-1]


def _fill_empty(result: dict[str, str], ranked: list[str], names: list[str]) -> None:
    """Give each empty split one patient of the largest, while that one keeps another."""
    for name in reversed(names):
        taken = Counter(result.values())
        if taken[name]:
            continue
        largest, size = taken.most_common(1)[0]
        if size > 1:
            result[next(patient for patient in reversed(ranked) if result[patient] == largest)] = name
