"""Near duplicates of an evaluated split in other splits: counted from an audit's search, or by one of its own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.audit.duplicates import across_splits as module
from medimg_cli.audit.duplicates.across_splits import (
    across_splits,
    count_across,
    keep_pairs,
    kept_pairs,
    known_across_splits,
    pairs_path,
)
from medimg_cli.audit.duplicates.near_duplicates import NearDuplicates, Pair
from medimg_cli.audit.measurements.measurements import Measured, measure_images
from medimg_cli.images.image import DecodedImage
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace

HASHES = [f"{number:064x}"[::-1] for number in range(5)]


def table(*images: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(images, columns=["split", "sha256", "pixel_sha256"])


def test_an_image_counts_once_however_many_copies_it_has_elsewhere() -> None:
    rows = table(
        ("test", "1", "a"), ("train", "2", "b"), ("train", "3", "c"), ("test", "4", "d"), ("val", "5", "e")
    )
    pictures = ["a", "b", "c", "d", "e"]
    assert count_across(rows, pictures, [(0, 1), (0, 2)], ["test"]) == 1
    # What two pictures share with a third ties them too: 4 is like 5, and 5 like 1.
    assert count_across(rows, pictures, [(3, 4), (4, 0)], ["test"]) == 2
    assert count_across(rows, pictures, [(3, 0)], ["test"]) == 0
    assert count_across(rows, pictures, [(1, 2)], ["train", "val"]) == 0


def test_the_same_file_is_no_near_duplicate_but_equal_pixels_in_another_file_are() -> None:
    pictures = ["a"]
    assert count_across(table(("test", "1", "a"), ("train", "1", "a")), pictures, [], ["test"]) == 0
    assert count_across(table(("test", "1", "a"), ("train", "2", "a")), pictures, [], ["test"]) == 1


def test_kept_pairs_are_found_again_also_for_fewer_pictures(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert kept_pairs(workspace, HASHES) is None
    pairs = [Pair(0, 3, 0.95, ""), Pair(1, 2, 0.87, ""), Pair(2, 4, 0.9, "")]
    keep_pairs(workspace, HASHES, pairs)
    assert kept_pairs(workspace, HASHES) == [(0, 3), (2, 4)]
    assert kept_pairs(workspace, [HASHES[3], HASHES[0], HASHES[2]]) == [(1, 0)]


def test_a_search_that_did_not_see_all_pictures_is_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    keep_pairs(workspace, HASHES[:4], [])
    assert kept_pairs(workspace, HASHES) is None
    assert kept_pairs(workspace, HASHES[:4]) == []


@pytest.mark.parametrize("content", ["", "[]", '{"pictures": 3}', '{"pictures": [], "pairs": [[1]]}'])
def test_a_damaged_list_of_pairs_is_as_none(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    keep_pairs(workspace, HASHES, [])
    pairs_path(workspace).write_text(content)
    assert kept_pairs(workspace, []) is None


def test_a_list_of_pairs_of_which_one_sign_is_another_is_as_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    keep_pairs(workspace, HASHES, [Pair(0, 3, 0.95, ""), Pair(2, 4, 0.95, "")])
    path = pairs_path(workspace)
    head, pairs = path.read_text().split('"pairs"')
    path.write_text(f'{head}"pairs"{pairs.replace(HASHES[3][:16], HASHES[1][:16])}')
    assert kept_pairs(workspace, HASHES) is None


def test_pairs_of_another_version_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    keep_pairs(workspace, HASHES, [])
    monkeypatch.setattr("medimg_cli.audit.duplicates.across_splits.__version__", "another")
    assert kept_pairs(workspace, HASHES) is None


def manifest(root: Path) -> tuple[Workspace, pd.DataFrame]:
    """Write three files, the last one smaller than can be compared."""
    rows = []
    for name, split, side in (("a", "train", 32), ("b", "test", 32), ("c", "test", 16)):
        (root / name).write_text(name)
        rows.append({"image_id": name, "path": name, "split": split, "width": side, "height": side})
    return Workspace(root), pd.DataFrame(rows)


def read(path: str) -> DecodedImage:
    pixels = np.random.default_rng(ord(path[-1])).integers(0, 255, (32, 32, 1), dtype=np.uint8)
    return DecodedImage(pixels, bit_depth=8)


def measured(workspace: Workspace, rows: pd.DataFrame) -> Measured:
    return measure_images(workspace, rows, read, SilentProgress())


def test_without_a_search_the_number_is_not_known_and_with_one_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def find(_: object, count: int, **__: object) -> NearDuplicates:
        searched.append(count)
        return NearDuplicates((Pair(0, 1, 0.93, ""),), 1, 0, 0)

    monkeypatch.setattr(module, "find_near_duplicates", find)
    workspace, rows = manifest(tmp_path)
    rows["sha256"] = measured(workspace, rows).table["sha256"].to_numpy()
    assert known_across_splits(workspace, rows, ["test"]) is None
    for _ in range(2):
        found = across_splits(workspace, rows, ["test"], measure=lambda of: measured(workspace, of))
        assert found == 1
    assert searched == [2]
    assert known_across_splits(workspace, rows, ["test"]) == 1
    changed = rows.assign(sha256=["0", *rows["sha256"][1:]])
    assert known_across_splits(workspace, changed, ["test"]) is None
