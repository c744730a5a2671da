"""The features of a frozen network on the disk."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.preprocessing.feature_cache import FeatureCache, digest_of


def test_features_are_found_again_by_what_they_rest_on(tmp_path: Path) -> None:
    FeatureCache(tmp_path, ["weights", 1]).add(["a", "b"], np.array([[1, 2], [3, 4]], dtype=np.float32))
    again = FeatureCache(tmp_path, ["weights", 1])
    found = again.get("b")
    assert found is not None and found.tolist() == [3, 4]
    assert again.get("c") is None
    assert FeatureCache(tmp_path, ["weights", 2]).get("b") is None


def test_a_damaged_file_is_let_go_and_others_stay(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, [1])
    cache.add(["a"], np.ones((1, 3), dtype=np.float32))
    first = next(cache.folder.iterdir())
    cache.add(["b"], np.zeros((1, 3), dtype=np.float32))
    first.write_bytes(first.read_bytes()[:40])
    again = FeatureCache(tmp_path, [1])
    assert again.get("a") is None
    assert again.get("b") is not None
    assert not first.exists()


def test_a_digest_tells_pixels_shape_and_type() -> None:
    image = np.zeros((2, 3, 1), dtype=np.uint8)
    others: list[NDArray[Any]] = [
        image + 1,
        image.reshape(3, 2, 1),
        image.astype(np.uint16),
        np.zeros((6,), dtype=np.uint8),
    ]
    assert len({digest_of(each) for each in [image, *others]}) == 5
    assert digest_of(image) == digest_of(np.zeros((4, 3, 1), dtype=np.uint8)[::2])
