"""One number for a leak: test images with a counterpart in another split, by kind and in all."""

import pandas as pd
import pytest

from medimg_cli.dataset.leakage import leak_of

ROWS = pd.DataFrame(
    [
        ("a/g1_1.png", "p1", "train", "1"),
        ("a/g2_1.png", "p2", "val", "2"),
        ("a/g3_1.png", "p3", "train", "3"),
        ("a/g1_2.png", "p9", "test", "4"),  # of the group g1
        ("a/g7_1.png", "p2", "test", "5"),  # of the patient p2
        ("a/g2_2.png", "p3", "test", "3"),  # the same file as g3_1, of group g2 and patient p3
        ("a/g8_1.png", "p8", "test", "8"),  # looks like another one
        ("a/g9_1.png", "p7", "test", "9"),
    ],
    columns=["image_id", "patient_id", "split", "sha256"],
)


def test_an_image_counts_once_in_all_and_under_every_kind() -> None:
    leak = leak_of(ROWS, ["test"], ["a/g8_1.png", "a/g2_2.png"], patients_known=True)
    assert leak.counts() == {"images": 3, "of": 5, "identical": 1, "near": 2, "patient": 2, "group": 0}
    assert set(leak.ids) == {"a/g7_1.png", "a/g2_2.png", "a/g8_1.png"}
    assert leak.line() == (
        "3 of 5 test images have a counterpart in another split (1 identical, 2 near duplicates, "
        "2 of the same patient)"
    )


def test_without_patients_the_groups_of_the_names_are_a_suspicion() -> None:
    leak = leak_of(ROWS, ["test"], patients_known=False, name_pattern=r"(g\d+)_")
    assert leak.counts() == {"images": 2, "of": 5, "identical": 1, "near": None, "patient": 0, "group": 2}
    assert "suspicion" in leak.line()
    assert leak.line().endswith("near duplicates were not searched for")


def test_patients_by_names_in_official_splits_are_a_suspicion_too() -> None:
    leak = leak_of(ROWS, ["test"], patients_known=True, patients_certain=False)
    assert (leak.patient, leak.group) == (0, 2)


@pytest.mark.parametrize("splits", [["test"], ["val"], ["train", "val"]])
def test_a_clean_split_has_none(splits: list[str]) -> None:
    rows = ROWS.assign(patient_id=ROWS.index.astype(str), sha256=ROWS.index.astype(str))
    leak = leak_of(rows, splits, [], patients_known=True)
    assert (leak.images, leak.ids) == (0, ())
    assert leak.line().startswith("none of")
