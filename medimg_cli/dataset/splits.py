"""Splits: stratified by class, grouped by patient, decided by seed and identity alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from medimg_cli.dataset.stratify import deal_evenly


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


def group_identical(patients: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """Return a group for each image (N,): a patient, joined with every patient who has a file of the same content.

    The same file under two names would stand on both sides of a split although no patient does. A group is
    called by the first of its patients in the order of their names, so the input's order does not matter.
    """
    parent = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    owner: dict[str, str] = {}
    for patient, content in zip(patients, hashes, strict=True):
        first, second = sorted((root(owner.setdefault(content, patient)), root(patient)))
        parent[second] = first
    return [root(patient) for patient in patients]


def complete_splits(
    labels: Sequence[str],
    groups: Sequence[str],
    given: Sequence[str | None],
    *,
    fractions: dict[str, float],
    seed: int,
    standing: bool = False,
    multi_label: bool = False,
) -> list[str]:
    """Return the split of each image (N,), keeping every one that is given.

    Images without a split follow their group where it has one. The rest is dealt by `assign_splits`, or, where
    there are splits from an earlier ingest or several labels an image, by `deal_evenly`. When all given splits
    leave out "val", it is cut from train by whole groups, in the proportion of the two shares.

    Args:
        labels: class of each image, or `a|b` with `multi_label`.
        standing: some of the given splits are an earlier ingest's: the new images even out the shares, and train
            is not cut again.
    """
    result = _follow(groups, given)
    open_places = [i for i, split in enumerate(result) if not split]
    even = standing or multi_label
    _deal(result, open_places, labels, groups, fractions, seed, even=even, multi_label=multi_label)
    train, val = fractions.get("train", 0.0), fractions.get("val", 0.0)
    if "val" not in result and val > 0 and not standing:
        shares = {"train": train / (train + val), "val": val / (train + val)}
        places = [i for i, split in enumerate(result) if split == "train"]
        for place in places:
            result[place] = ""
        _deal(result, places, labels, groups, shares, seed, even=multi_label, multi_label=multi_label)
    return result


def assign_folds(
    labels: Sequence[str],
    groups: Sequence[str],
    given: Sequence[str | None],
    *,
    folds: int,
    seed: int,
    multi_label: bool = False,
) -> list[str]:
    """Return the fold "0" … of each image (N,): groups stay together, classes are spread evenly, given ones are kept.

    Args:
        given: folds of an earlier ingest, None or "" for a new image.
    """
    names = {str(number): 1 / folds for number in range(folds)}
    result = _follow(groups, [fold or None for fold in given])
    places = [i for i, fold in enumerate(result) if not fold]
    _deal(result, places, labels, groups, names, seed, even=True, multi_label=multi_label)
    return result


def _follow(groups: Sequence[str], given: Sequence[str | None]) -> list[str]:
    """Return the given split of each image, else its group's, else ""."""
    of_group: dict[str, str] = {}
    for group, split in zip(groups, given, strict=True):
        if split is not None:
            of_group.setdefault(group, split)
    return [split or of_group.get(group, "") for group, split in zip(groups, given, strict=True)]


def _deal(
    result: list[str],
    positions: list[int],
    labels: Sequence[str],
    groups: Sequence[str],
    fractions: dict[str, float],
    seed: int,
    *,
    even: bool,
    multi_label: bool,
) -> None:
    """Assign the images at `positions` anew, in place."""
    if not positions:
        return
    if even:
        deal_evenly(result, labels, groups, fractions=fractions, seed=seed, multi_label=multi_label)
        return
    dealt = assign_splits(
        [labels[i] for i in positions], [groups[i] for i in positions], fractions=fractions, seed=seed
    )
    for position, split in zip(positions, dealt, strict=True):
        result[position] = split


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
