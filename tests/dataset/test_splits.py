"""Splits: patients stay together, shares are met, and nothing but seed and identity decides."""

import random
from collections import Counter

import pytest

from medimg_cli.dataset.splits import assign_splits, complete_splits, group_identical

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def cohort(patients: int, *, rare: int = 4) -> tuple[list[str], list[str]]:
    """Return labels and patients; every `rare`th patient is sick, and has one to three images."""
    labels, owners = [], []
    for patient in range(patients):
        for _ in range(1 + patient % 3):
            labels.append("sick" if patient % rare == 0 else "well")
            owners.append(f"p{patient}")
    return labels, owners


@pytest.mark.parametrize("seed", range(5))
def test_a_patient_stands_in_one_split_and_classes_keep_their_share(seed: int) -> None:
    labels, patients = cohort(400)
    splits = assign_splits(labels, patients, fractions=SHARES, seed=seed)
    of_patient: dict[str, set[str]] = {}
    for patient, split in zip(patients, splits, strict=True):
        of_patient.setdefault(patient, set()).add(split)
    assert max(len(found) for found in of_patient.values()) == 1
    for label in ("sick", "well"):
        counts = Counter(split for split, name in zip(splits, labels, strict=True) if name == label)
        for name, share in SHARES.items():
            assert abs(counts[name] / labels.count(label) - share) < 0.03


def test_the_order_of_the_input_does_not_matter() -> None:
    labels, patients = cohort(60)
    before = dict(zip(patients, assign_splits(labels, patients, fractions=SHARES, seed=3), strict=True))
    order = list(range(len(labels)))
    random.Random(0).shuffle(order)
    shuffled = [patients[i] for i in order]
    after = assign_splits([labels[i] for i in order], shuffled, fractions=SHARES, seed=3)
    assert dict(zip(shuffled, after, strict=True)) == before


def test_another_seed_gives_another_split() -> None:
    labels, patients = cohort(60)
    assert assign_splits(labels, patients, fractions=SHARES, seed=0) != assign_splits(
        labels, patients, fractions=SHARES, seed=1
    )


def test_a_share_of_zero_gets_nobody() -> None:
    labels, patients = cohort(40)
    splits = assign_splits(labels, patients, fractions={"train": 0.5, "val": 0.0, "test": 0.5}, seed=0)
    assert set(splits) == {"train", "test"}


@pytest.mark.parametrize("seed", range(8))
def test_three_patients_of_a_class_are_enough_for_three_splits(seed: int) -> None:
    labels = ["sick"] * 3 + ["well"] * 20
    splits = assign_splits(labels, [str(i) for i in range(23)], fractions=SHARES, seed=seed)
    assert sorted(splits[:3]) == ["test", "train", "val"]


def test_a_single_patient_goes_to_train() -> None:
    assert assign_splits(["sick"], ["a"], fractions=SHARES, seed=0) == ["train"]


def test_a_patient_of_two_classes_counts_for_the_one_most_images_have() -> None:
    labels, patients = cohort(30)
    labels += ["sick", "sick", "well"]
    patients += ["both"] * 3
    splits = assign_splits(labels, patients, fractions=SHARES, seed=0)
    assert len(set(splits[-3:])) == 1


def test_nothing_gives_nothing() -> None:
    assert assign_splits([], [], fractions=SHARES, seed=0) == []


def test_patients_with_the_same_file_are_one_group_through_any_number_of_steps() -> None:
    patients = ["c", "b", "b", "a", "z"]
    hashes = ["1", "1", "2", "2", "9"]
    assert group_identical(patients, hashes) == ["a", "a", "a", "a", "z"]


def test_different_files_leave_patients_apart() -> None:
    assert group_identical(["b", "a", "b"], ["1", "2", "3"]) == ["b", "a", "b"]


def test_given_splits_are_kept_whatever_they_are() -> None:
    labels, patients = cohort(30)
    given = ["test" if i % 2 else "train" for i in range(len(labels))]
    result = complete_splits(labels, patients, given, fractions={"train": 1.0}, seed=0)
    assert result == given


def test_validation_is_cut_from_train_by_patient_in_the_proportion_of_the_shares() -> None:
    labels, patients = cohort(300)
    given = ["test" if int(patient[1:]) < 60 else "train" for patient in patients]
    result = complete_splits(labels, patients, given, fractions=SHARES, seed=0)
    assert [split == "test" for split in result] == [split == "test" for split in given]
    share = result.count("val") / (result.count("val") + result.count("train"))
    assert abs(share - 0.15 / 0.85) < 0.03
    pairs = set(zip(patients, result, strict=True))
    assert len(pairs) == len(set(patients))


def test_given_validation_is_not_added_to() -> None:
    given = ["train", "val", "train", "test"]
    assert complete_splits(["a", "b"] * 2, list("wxyz"), given, fractions=SHARES, seed=0) == given


def test_images_without_split_follow_their_group_and_the_rest_is_dealt() -> None:
    labels, patients = cohort(60)
    given: list[str | None] = [None] * len(labels)
    given[patients.index("p2")] = "test"
    result = complete_splits(labels, patients, given, fractions=SHARES, seed=0)
    assert {split for split, patient in zip(result, patients, strict=True) if patient == "p2"} == {"test"}
    assert set(result) == {"train", "val", "test"}
    assert len(set(zip(patients, result, strict=True))) == 60
