"""Archives of arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings


def listed(path: Path, **stacks: Any) -> Listing:
    np.savez(path, **stacks)
    return LAYOUTS.get("npz").list_images([Source(path)], IngestSettings())


def splits(train: list[int], test: list[int], column: bool) -> dict[str, Any]:
    return {
        f"{split}_{kind}": value
        for split, labels in (("train", train), ("test", test))
        for kind, value in (
            ("images", np.zeros((len(labels), 2, 2), dtype=np.uint8)),
            ("labels", np.array(labels, dtype=np.uint8).reshape(-1, 1) if column else np.array(labels)),
        )
    }


@pytest.mark.parametrize("column", [True, False])
def test_splits_are_official_and_labels_of_both_shapes_are_read(tmp_path: Path, column: bool) -> None:
    listing = listed(tmp_path / "mine.npz", **splits([1, 0], [10], column))
    assert [(entry.image_id, entry.label, entry.split) for entry in listing.entries] == [
        ("train/0", "1", "train"),
        ("train/1", "0", "train"),
        ("test/0", "10", "test"),
    ]
    assert listing.classes == ("0", "1", "10")
    assert listing.entries[2].path == f"{(tmp_path / 'mine.npz').as_posix()}#test/0"


@pytest.mark.parametrize("name", ["breastmnist.npz", "BreastMNIST_64.npz"])
def test_known_sets_get_their_published_names_in_the_order_of_their_numbers(
    tmp_path: Path, name: str
) -> None:
    listing = listed(tmp_path / name, **splits([1, 0], [1], True))
    assert listing.classes == ("malignant", "normal, benign")
    assert listing.entries[0].label == "normal, benign"


@pytest.mark.parametrize(
    ("stacks", "what"),
    [
        ({"x": np.zeros(2)}, "has no array train_images"),
        ({"train_images": np.zeros((2, 2, 2))}, "train_images without train_labels"),
        (
            {"train_images": np.zeros((2, 2, 2)), "train_labels": np.zeros((2, 14), dtype=int)},
            "holds 14 labels an image",
        ),
        ({"train_images": np.zeros((2, 2, 2)), "train_labels": np.zeros(2)}, "are of type float64"),
        (
            {"train_images": np.zeros((3, 2, 2)), "train_labels": np.zeros(2, dtype=int)},
            "3 images and 2 labels",
        ),
        ({"train_images": np.zeros((1, 2, 2)), "train_labels": np.array([{}])}, "cannot be read"),
    ],
)
def test_archives_of_another_form_are_refused(tmp_path: Path, stacks: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        listed(tmp_path / "a.npz", **stacks)


def test_only_archives_fit(tmp_path: Path) -> None:
    (tmp_path / "fake.npz").write_text("no archive")
    misfit = LAYOUTS.get("npz").misfit
    assert misfit(Source(tmp_path / "fake.npz"), IngestSettings()) == "not an .npz archive"
    assert misfit(Source(tmp_path), IngestSettings()) == "not an .npz archive"
