"""Splits: stratified by class, grouped by patient, decided by seed and identity alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.listing import Entry
from medimg_cli.dataset.manifest import SPLITS, Dataset
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings

_ANY = "\0any"
"""Stands for "an image, whatever its labels" among the labels; no class can be called so."""


def deal_evenly(
    result: list[str],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    fractions: dict[str, float],
    seed: int,
    multi_label: bool = False,
) -> None:
    """Fill the empty places of `result` (N,) by whole groups, in place.

    Sechidis, Tsoumakas & Vlahavas, ECML PKDD 2011, algorithm 1, with patients for examples: the label that
    fewest groups are left for is dealt first, each group to the part that lacks most images of this label, then
    to the one that lacks most images. Images that have a place count for it. Within a label groups come in the
    order of a keyed hash, so the order of the input does not matter.

    Args:
        result: part of each image, "" where it is open; parts that are not in `fractions` take no share.
        labels: class of each image, or `a|b` with `multi_label`; an image without label counts as a label too.
        fractions: part → wanted share; parts without a share get nobody.
    """
    names = [name for name, share in fractions.items() if share > 0]
    content: dict[str, Counter[str]] = {}
    images: Counter[str] = Counter()
    lacking = {name: Counter[str]() for name in names}
    total: Counter[str] = Counter()
    for place, label, group in zip(result, labels, groups, strict=True):
        parts = (parts_of(label) or ("",)) if multi_label else (label,)
        if place and place not in lacking:
            continue
        total.update(parts)
        total[_ANY] += 1
        if place:
            lacking[place].subtract([*parts, _ANY])
        else:
            content.setdefault(group, Counter()).update(parts)
            images[group] += 1
    scale = sum(fractions[name] for name in names)
    wanted = {
        name: {part: fractions[name] / scale * count + lacking[name][part] for part, count in total.items()}
        for name in names
    }
    placed = _deal_groups(content, images, wanted, seed)
    for position, place in enumerate(result):
        if not place:
            result[position] = placed[groups[position]]


def _deal_groups(
    content: dict[str, Counter[str]], images: Counter[str], wanted: dict[str, dict[str, float]], seed: int
) -> dict[str, str]:
    """Return group → part. `wanted` (part → label → images) goes down as groups are dealt."""
    waiting: dict[str, list[str]] = {}
    for group in sorted(content, key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).digest()):
        for part in content[group]:
            waiting.setdefault(part, []).append(group)
    placed: dict[str, str] = {}
    left = Counter({part: len(members) for part, members in waiting.items()})
    while left:
        rarest = min(left, key=lambda part: (left[part], part))
        for group in waiting[rarest]:
            if group in placed:
                continue
            name = max(wanted, key=lambda name: (wanted[name][rarest], wanted[name][_ANY]))
            placed[group] = name
            for part, count in content[group].items():
                wanted[name][part] -= count
                left[part] -= 1
            wanted[name][_ANY] -= images[group]
        left = +left
    return placed


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
    previous: bool = False,
    multi_label: bool = False,
) -> list[str]:
    """Return the split of each image (N,), keeping every one that is given.

    Images without a split follow their group where it has one. The rest is dealt by `assign_splits`, or, where
    there are splits from an earlier ingest or several labels an image, by `deal_evenly`. When all given splits
    leave out "val", it is cut from train by whole groups, in the proportion of the two shares.

    Args:
        labels: class of each image, or `a|b` with `multi_label`.
        previous: some of the given splits are an earlier ingest's: the new images even out the shares, and train
            is not cut again.
    """
    result = _follow(groups, given)
    open_places = [i for i, split in enumerate(result) if not split]
    even = previous or multi_label
    _deal(result, open_places, labels, groups, fractions, seed, even=even, multi_label=multi_label)
    train, val = fractions.get("train", 0.0), fractions.get("val", 0.0)
    if "val" not in result and val > 0 and not previous:
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


class SplitPlan:
    """Splits and folds of the images of one ingest.

    Args:
        patients: of each image (N,).
        hashes: content of each image (N,); identical ones never stand in two splits.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        patients: Sequence[str],
        hashes: Sequence[str],
        settings: IngestSettings,
        previous: PreviousDataset,
    ) -> None:
        self._entries = entries
        self._labels = [entry.label for entry in entries]
        self._groups = group_identical(patients, hashes)
        self._settings = settings
        self._standing = previous
        self._official_splits = {entry.split for entry in entries}

    @property
    def official(self) -> bool:
        """Return whether the source came with splits."""
        return self._official_splits != {None}

    def assign(self) -> list[str]:
        """Return the split of each image (N,).

        Raises:
            DataError: nobody is in train.
        """
        settings = self._settings
        fractions = dict(zip(SPLITS, settings.split, strict=True))
        previous = self._standing.info is not None
        # An official split without val gave some of its train to val. New images of train take part in that.
        cut = previous and self.official and "val" not in self._official_splits and fractions["val"] > 0
        if cut:
            fractions["test"] = 0.0
        splits = complete_splits(
            self._labels,
            self._groups,
            [
                self._standing.split_of(entry.image_id)
                or (None if cut and entry.split == "train" else entry.split)
                for entry in self._entries
            ],
            fractions=fractions,
            seed=settings.seed,
            previous=previous,
            multi_label=settings.multi_label,
        )
        if "train" not in splits and settings.split[0] != 1:  # then images are those to test a model on
            raise DataError(
                "no image is in the train split",
                "name another split column, or leave --use-split-col out"
                if settings.use_split_col
                else "call one of the splits train; to test a model on these images, `medimg evaluate --data`",
            )
        return splits

    def folds(self, splits: Sequence[str]) -> list[str]:
        """Return the fold "0" … of each image (N,) of train and val, "" for the others.

        Raises:
            DataError: fewer patients than folds.
        """
        count = self._settings.folds or 0
        places = [i for i, split in enumerate(splits) if split in ("train", "val")]
        groups = [self._groups[i] for i in places]
        if len(set(groups)) < count:
            raise DataError(
                f"--folds {count}: train and val hold {len(set(groups))} patients", "choose fewer folds"
            )
        dealt = assign_folds(
            [self._labels[i] for i in places],
            groups,
            [self._standing.cell(self._entries[i].image_id, "fold") for i in places],
            folds=count,
            seed=self._settings.seed,
            multi_label=self._settings.multi_label,
        )
        result = [""] * len(splits)
        for place, fold in zip(places, dealt, strict=True):
            result[place] = fold
        return result

    def origin(self, splits: Sequence[str], *, known: bool) -> str:
        """Return how the split came about, for people."""
        grouped = "patient-grouped, " if known else ""
        made = f"{grouped}stratified, seed {self._settings.seed}"
        if not self.official:
            return made
        if None in self._official_splits:
            return f"official where given, the rest {made}"
        return f"official; val cut from train, {made}" if set(splits) > self._official_splits else "official"


FOLD = "fold"
OUT_OF_FOLD = "out-of-fold"
"""Names answers about train and val that no member gave who had learnt from the image."""


def dealt_rows(dataset: Dataset, folds: int) -> pd.DataFrame:
    """Return the usable rows of train and val, whose column `fold` says which of "0" … each belongs to.

    The manifest's own column is taken where the data set was ingested with that many folds. Otherwise images of one
    patient, or of the same content, stay together, classes are spread evenly, and the seed of the split decides, so
    that every training on this data set with so many folds has the same ones.

    Raises:
        DataError: fewer patients than folds, or a fold cannot be trained or judged for lack of a class.
    """
    rows = dataset.of_split("train", "val")
    if dataset.info.folds == folds and FOLD in rows and (rows[FOLD] != "").all():
        dealt = rows[FOLD].astype(str).tolist()
    else:
        patients = len(set(_groups(rows)))
        if patients < folds:
            raise DataError(f"--folds {folds}: train and val hold {patients} patients", "choose fewer folds")
        dealt = deal_folds(dataset, rows, folds, seed=dataset.info.seed)
    rows = rows.assign(**{FOLD: dealt})
    _check(rows, folds, dataset)
    return rows


def deal_folds(dataset: Dataset, rows: pd.DataFrame, folds: int, *, seed: int) -> list[str]:
    """Return the fold "0" … of each row of `dataset`: whole patients and copies together, classes spread evenly."""
    return assign_folds(
        rows["label"].tolist(),
        _groups(rows),
        [None] * len(rows),
        folds=folds,
        seed=seed,
        multi_label=dataset.info.multi_label,
    )


def _groups(rows: pd.DataFrame) -> list[str]:
    return group_identical(rows["patient_id"].tolist(), rows["sha256"].tolist())


def _check(rows: pd.DataFrame, folds: int, dataset: Dataset) -> None:
    """Refuse what would end hours later: a class that nothing is learnt of, a fold without the disease."""
    many = dataset.info.multi_label
    holds = [set(parts_of(label)) if many else {label} for label in rows["label"]]
    spread = {
        name: {fold for fold, classes in zip(rows[FOLD], holds, strict=True) if name in classes}
        for name in dataset.info.classes
    }
    few = "choose fewer folds, or add images of that class"
    for name, where in spread.items():
        if len(where) < 2:
            raise DataError(f"--folds {folds}: class '{name}' is in {len(where)} of the folds alone", few)
    ill = set().union(*(spread[name] for name in dataset.labels.positives))
    if dataset.labels.positives and len(ill) < folds:
        raise DataError(
            f"--folds {folds}: class '{dataset.info.positive}' is in {len(ill)} of the folds alone, so the others "
            "could not be judged",
            few,
        )
