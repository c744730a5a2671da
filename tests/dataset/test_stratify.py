"""Iterative stratification: every label keeps its share, whatever labels come together."""

import random
from collections import Counter

import pytest

from medimg_cli.dataset.splits import assign_folds, complete_splits

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def findings(patients: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return labels such as "a|c" and patients of one to three images; "d" is rare, many images have none."""
    generator = random.Random(seed)
    labels, owners = [], []
    for patient in range(patients):
        for _ in range(generator.randint(1, 3)):
            odds = zip("abcd", (0.4, 0.2, 0.1, 0.03), strict=True)
            labels.append("|".join(name for name, odd in odds if generator.random() < odd))
            owners.append(f"p{patient}")
    return labels, owners


@pytest.mark.parametrize("seed", range(3))
def test_every_label_keeps_its_share_and_no_patient_stands_on_two_sides(seed: int) -> None:
    labels, patients = findings(600)
    splits = complete_splits(
        labels, patients, [None] * len(labels), fractions=SHARES, seed=seed, multi_label=True
    )
    assert len(set(zip(patients, splits, strict=True))) == 600
    for name in "abcd":
        having = [split for label, split in zip(labels, splits, strict=True) if name in label]
        counts = Counter(having)
        for split, share in SHARES.items():
            assert abs(counts[split] - share * len(having)) <= max(2.0, 0.02 * len(having)), (name, split)


def test_the_order_of_the_input_does_not_matter() -> None:
    labels, patients = findings(80)
    nobody: list[str | None] = [None] * len(labels)
    before = complete_splits(labels, patients, nobody, fractions=SHARES, seed=1, multi_label=True)
    of_patient = dict(zip(patients, before, strict=True))
    order = list(range(len(labels)))
    random.Random(0).shuffle(order)
    shuffled = [patients[i] for i in order]
    after = complete_splits(
        [labels[i] for i in order], shuffled, nobody, fractions=SHARES, seed=1, multi_label=True
    )
    assert dict(zip(shuffled, after, strict=True)) == of_patient


def test_images_that_come_one_by_one_end_in_the_shares_and_nobody_moves() -> None:
    labels = ["sick" if n % 3 == 0 else "well" for n in range(300)]
    patients = [f"p{n}" for n in range(300)]
    splits: list[str | None] = list(
        complete_splits(labels[:60], patients[:60], [None] * 60, fractions=SHARES, seed=0)
    )
    for count in range(61, 301):
        given = [*splits, None]
        dealt = complete_splits(
            labels[:count], patients[:count], given, fractions=SHARES, seed=0, previous=True
        )
        assert dealt[:-1] == splits
        splits = list(dealt)
    for name in ("sick", "well"):
        counts = Counter(split for split, label in zip(splits, labels, strict=True) if label == name)
        for split, share in SHARES.items():
            assert abs(counts[split] - share * labels.count(name)) <= 2


def test_a_part_without_share_gets_nobody() -> None:
    labels, patients = findings(50)
    nobody: list[str | None] = [None] * len(labels)
    shares = {"train": 0.5, "val": 0.0, "test": 0.5}
    splits = complete_splits(labels, patients, nobody, fractions=shares, seed=0, multi_label=True)
    assert set(splits) == {"train", "test"}


@pytest.mark.parametrize("count", [2, 5])
def test_folds_spread_classes_evenly_and_keep_patients_whole(count: int) -> None:
    labels = ["sick" if n % 4 == 0 else "well" for n in range(200)]
    patients = [f"p{n // 2}" for n in range(200)]
    folds = assign_folds(labels, patients, [None] * 200, folds=count, seed=0)
    assert len(set(zip(patients, folds, strict=True))) == 100
    sick = Counter(fold for fold, label in zip(folds, labels, strict=True) if label == "sick")
    assert set(sick) == {str(number) for number in range(count)}
    assert max(sick.values()) - min(sick.values()) <= 1


def test_given_folds_are_kept() -> None:
    given = ["1", "", "0", ""]
    folds = assign_folds(list("abab"), ["p", "p", "q", "r"], given, folds=2, seed=0)
    assert folds[:3] == ["1", "1", "0"]
