"""The pixel cache: whole or not there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.core.cache import cache_folder, open_cache, write_cache
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError

RECIPE = Recipe(size_px=8, channels=1)
ROWS = pd.DataFrame({"image_id": ["a", "b"], "sha256": ["1", "2"], "label": ["x", "y"]})
PIXELS = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8, 1)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    written = write_cache(workspace, RECIPE, ROWS, iter(PIXELS))
    assert written.holds(ROWS)
    assert np.array_equal(written.pixels[written.positions(["b", "a"])], PIXELS[::-1])
    assert not written.holds(ROWS.assign(sha256="3"))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    cache = write_cache(Workspace(tmp_path), RECIPE, ROWS, iter(PIXELS))
    with pytest.raises(DataError, match="'c' is not in"):
        cache.positions(["a", "c"])


def test_an_interrupted_write_leaves_no_cache_to_trust(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def stopped() -> Iterator[NDArray[np.uint8]]:
        yield PIXELS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cache(workspace, RECIPE, ROWS, stopped())
    assert open_cache(workspace, RECIPE) is None


def test_damaged_pixels_are_no_cache(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_cache(workspace, RECIPE, ROWS, iter(PIXELS))
    (cache_folder(workspace, RECIPE) / "pixels.npy").write_bytes(b"\x93NUMPY")
    assert open_cache(workspace, RECIPE) is None


def test_another_recipe_has_another_folder() -> None:
    workspace = Workspace(Path("w"))
    assert cache_folder(workspace, RECIPE) != cache_folder(
        workspace, RECIPE.model_copy(update={"size_px": 9})
    )
