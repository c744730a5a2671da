"""The pixel cache: every image decoded once, in one memory-mapped array that only grows.

    cache/<recipe key>/recipe.json    how the pixels were made
                       pixels.npy     (N, H, W, C); rows are appended, a written row never changes
                       index.csv      image_id, sha256, row, crc32 of the row (and border, where the recipe cuts one)
                       journal.csv    the same columns: rows written since the index, while a write is unfinished

The index decides what is valid: a row of the array that it does not name is not there. A killed write leaves the
index of before and a journal whose lines name only rows that had reached the disk; the next write goes on after them.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from medimg_cli.errors import DataError
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.workspace.files import atomic_path, read_json
from medimg_cli.workspace.tables import read_table
from medimg_cli.workspace.workspace import Workspace

INDEX_COLUMNS = ("image_id", "sha256")


@dataclass(frozen=True)
class PixelCache:
    """What `cache/<recipe key>/` holds.

    Args:
        folder: its folder.
        recipe: how the pixels were made.
        index: one row per image: image_id (unique), sha256, row (its place in the array), crc32 of its pixels as
            text, empty for rows of earlier versions.
        pixels: (N, H, W, C) uint8 or uint16, memory-mapped read-only; may hold more rows than the index names.
    """

    folder: Path
    recipe: Recipe
    index: pd.DataFrame
    pixels: Pixels

    def positions(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return where each image stands in the array (N,).

        Raises:
            DataError: an image is not in the cache.
        """
        where = pd.Index(self.index["image_id"]).get_indexer(pd.Index(image_ids))
        if (where < 0).any():
            missing = image_ids[int(np.argmax(where < 0))]
            raise DataError(f"'{missing}' is not in {self.folder}", "run `medimg preprocess`")
        return np.asarray(self.index["row"].to_numpy()[where], dtype=np.int64)

    def holds(self, rows: pd.DataFrame) -> bool:
        """Return whether every image of `rows` (image_id, sha256) is here with the same content."""
        return bool(present(self.index, rows).all())

    def damaged(self, image_ids: Sequence[str]) -> list[str]:
        """Return which of these images have pixels on the disk that are not those that were written."""
        rows = self.index[self.index["image_id"].isin(image_ids) & (self.index["crc32"] != "")]
        named = zip(rows["image_id"], rows["row"], rows["crc32"], strict=True)
        return [name for name, row, checksum in named if checksum_of(self.pixels[row]) != checksum]


def checksum_of(image: NDArray[Any]) -> str:
    """Return the CRC-32 of an image's pixels as eight hexadecimal digits."""
    return f"{crc32(np.ascontiguousarray(image).data):08x}"


def present(index: pd.DataFrame, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which of `rows` (image_id, sha256) stand in `index` with the same content, (N,)."""
    where = pd.Index(index["image_id"]).get_indexer(pd.Index(rows["image_id"]))
    found = where >= 0
    same = index["sha256"].to_numpy()[where[found]] == rows["sha256"].to_numpy()[found]
    found[found] = same
    return np.asarray(found, dtype=np.bool_)


def cache_folder(workspace: Workspace, recipe: Recipe) -> Path:
    """Return the folder of a recipe's cache."""
    return workspace.cache_dir / recipe.key()


def open_cache(workspace: Workspace, recipe: Recipe) -> PixelCache | None:
    """Return the cache of `recipe`, or None when there is none that can be trusted."""
    folder = cache_folder(workspace, recipe)
    if not (folder / "index.csv").is_file() or not is_of(recipe, folder):
        return None
    try:
        index = read_index(folder / "index.csv")
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
    except (
        OSError,
        EOFError,
        ValueError,
        DataError,
    ):  # damaged or empty: it is made again, and nothing is lost but time
        return None
    shape = (recipe.size_px, recipe.size_px, recipe.channels)
    if pixels.dtype != recipe.dtype or pixels.shape[1:] != shape or len(pixels) < next_row(index):
        return None
    return PixelCache(folder, recipe, index, pixels)


def is_of(recipe: Recipe, folder: Path) -> bool:
    """Return whether `recipe.json` in a cache's folder says `recipe`; files of earlier versions lack fields."""
    try:
        return Recipe.model_validate(read_json(folder / "recipe.json")) == recipe
    except (DataError, ValidationError):
        return False


def read_index(path: Path) -> pd.DataFrame:
    """Return an index with whole numbers in `row`; the last line about an image counts.

    Raises:
        DataError: it cannot be read, or a row number is none.
    """
    index = read_table(path, required=INDEX_COLUMNS)
    if "row" not in index:  # written before caches could grow: in the array's order
        index["row"] = np.arange(len(index))
    if "crc32" not in index:
        index["crc32"] = ""
    try:
        index["row"] = pd.to_numeric(index["row"]).astype(np.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} holds a row that is no number", "delete the folder") from error
    return index.drop_duplicates("image_id", keep="last", ignore_index=True)


def next_row(index: pd.DataFrame) -> int:
    """Return how many rows of the array an index reaches over."""
    return int(index["row"].max()) + 1 if len(index) else 0


_DAMAGES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def digest_of(image: NDArray[Any]) -> str:
    """Return what an image's pixels are known by: 32 hex digits of the SHA-256 of shape, type and content."""
    about = f"{image.shape}{image.dtype}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(image).data).hexdigest()[:32]


class FeatureCache:
    """The features of one network.

    Args:
        cache_dir: the workspace's `cache/`.
        rests_on: what the features depend on besides the pixels: weights, architecture, normalisation, device.
    """

    def __init__(self, cache_dir: Path, rests_on: Sequence[object]) -> None:
        key = hashlib.sha256(repr(rests_on).encode()).hexdigest()[:16]
        self.folder = cache_dir / f"features-{key}"
        self._known: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
                    self._known |= dict(zip(held["digests"].tolist(), held["features"], strict=True))
            except _DAMAGES:
                path.unlink(missing_ok=True)

    def get(self, digest: str) -> NDArray[np.float32] | None:
        """Return the features of an image, None where it was not looked at yet."""
        return self._known.get(digest)

    def add(self, digests: Sequence[str], features: NDArray[np.float32]) -> None:
        """Keep the features (N, …) of images."""
        if not len(digests):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
        with atomic_path(self.folder / f"{name}.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, digests=np.array(digests), features=features)
        self._known |= dict(zip(digests, features, strict=True))
