"""The pixel cache: every image of a split, decoded once, in one memory-mapped array."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.files import atomic_path, read_json, write_json
from medimg_cli.core.manifest import read_table, write_table
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, MachineError

_INDEX_COLUMNS = ("image_id", "sha256")


@dataclass(frozen=True)
class PixelCache:
    """What `cache/<recipe key>/` holds.

    Args:
        folder: its folder.
        recipe: how the pixels were made.
        index: one row per image, in the order of the array: image_id, sha256.
        pixels: (N, H, W, C) uint8, memory-mapped read-only.
    """

    folder: Path
    recipe: Recipe
    index: pd.DataFrame
    pixels: NDArray[np.uint8]

    def positions(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return where each image stands in the array (N,).

        Raises:
            DataError: an image is not in the cache.
        """
        where = pd.Index(self.index["image_id"]).get_indexer(pd.Index(image_ids))
        if (where < 0).any():
            missing = image_ids[int(np.argmax(where < 0))]
            raise DataError(f"'{missing}' is not in {self.folder}", "run `medimg preprocess`")
        return np.asarray(where, dtype=np.int64)

    def holds(self, rows: pd.DataFrame) -> bool:
        """Return whether every image of `rows` is here with the same content."""
        return set(_identities(rows)) <= set(_identities(self.index))


def cache_folder(workspace: Workspace, recipe: Recipe) -> Path:
    """Return the folder of a recipe's cache."""
    return workspace.cache_dir / recipe.key()


def open_cache(workspace: Workspace, recipe: Recipe) -> PixelCache | None:
    """Return the cache of `recipe`, or None when there is none that is whole."""
    folder = cache_folder(workspace, recipe)
    if not (folder / "recipe.json").is_file():
        return None
    index = read_table(folder / "index.csv", required=_INDEX_COLUMNS)
    try:
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    shape = (len(index), recipe.size_px, recipe.size_px, recipe.channels)
    if read_json(folder / "recipe.json") != recipe.model_dump() or pixels.shape != shape:
        return None
    return PixelCache(folder, recipe, index, pixels)


def write_cache(
    workspace: Workspace, recipe: Recipe, rows: pd.DataFrame, images: Iterable[NDArray[np.uint8]]
) -> PixelCache:
    """Write the cache of `rows` (image_id, sha256), whose pixels (H, W, C) `images` yields in order.

    The array takes its place before the index does: a reader never sees rows without pixels.

    Raises:
        MachineError: the disk is full.
    """
    folder = cache_folder(workspace, recipe)
    shape = (len(rows), recipe.size_px, recipe.size_px, recipe.channels)
    (folder / "recipe.json").unlink(missing_ok=True)
    with atomic_path(folder / "pixels.npy") as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for position, pixels in enumerate(images):
            array[position] = pixels
        array.flush()
        del array
    write_table(folder / "index.csv", rows[list(_INDEX_COLUMNS)])
    write_json(folder / "recipe.json", recipe.model_dump())
    written = open_cache(workspace, recipe)
    if written is None:
        raise MachineError(
            f"{folder} cannot be read back", "check the disk, then run `medimg preprocess` again"
        )
    return written


def _identities(rows: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(rows["image_id"], rows["sha256"], strict=True)
