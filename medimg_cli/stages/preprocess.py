"""preprocess: manifest → one memory-mapped array of pixels."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.cache import PixelCache, open_cache, write_cache
from medimg_cli.core.config import PreprocessSettings
from medimg_cli.core.image import UnreadableImage
from medimg_cli.core.manifest import SPLITS, Dataset, read_dataset
from medimg_cli.core.pool import map_ordered
from medimg_cli.core.progress import Progress, SilentProgress, tracked
from medimg_cli.core.recipe import Recipe
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError
from medimg_cli.learning.networks import architecture
from medimg_cli.readers import read_image


@dataclass(frozen=True)
class PreprocessResult:
    """What preprocessing did.

    Args:
        cache: the pixels, with at least the wanted splits.
        images: how many it holds.
        decoded: how many were decoded now; the others were there.
        reused: nothing had to be decoded.
    """

    cache: PixelCache
    images: int
    decoded: int
    seconds: float
    reused: bool

    @property
    def images_per_second(self) -> float | None:
        return self.decoded / self.seconds if self.decoded and self.seconds > 0 else None

    @property
    def bytes(self) -> int:
        return int(self.cache.pixels.nbytes)


def preprocess(
    workspace: Workspace,
    settings: PreprocessSettings,
    *,
    arch: str = "small-cnn",
    splits: Sequence[str] = SPLITS,
    progress: Progress = SilentProgress(),
) -> PreprocessResult:
    """Make the pixel cache of a data set at the size a network prefers.

    Args:
        workspace: holds the data set.
        settings: size and channels may be "auto".
        arch: whose preferred size "auto" takes.
        splits: only these are decoded; training leaves the test images untouched.
        progress: told of every image.

    Raises:
        DataError: no data set, or an image changed or vanished since ingest.
    """
    dataset = read_dataset(workspace)
    recipe = plan_recipe(dataset, settings, arch=arch)
    return preprocess_with(workspace, recipe, splits=splits, workers=settings.workers, progress=progress)


def plan_recipe(dataset: Dataset, settings: PreprocessSettings, *, arch: str) -> Recipe:
    """Return the recipe: sizes above the images' own are not used, grey sets stay one channel.

    Only training images decide.
    """
    train = dataset.of_split("train")
    if train.empty:
        raise DataError("no image in the training split", "ingest again with another --split")
    size = settings.size
    if size == "auto":
        own = int(np.median(train[["width", "height"]].to_numpy().max(axis=1)))
        size = min(architecture(arch).preferred_size_px, max(own, 28))
    channels = settings.channels
    if channels == "auto":
        channels = 1 if (train["channels"] == 1).all() else 3
    return Recipe(size_px=size, channels=channels, resize_mode=settings.resize_mode)


def preprocess_with(
    workspace: Workspace,
    recipe: Recipe,
    *,
    splits: Sequence[str] = SPLITS,
    workers: int | None = None,
    progress: Progress = SilentProgress(),
) -> PreprocessResult:
    """Make sure the cache of a given recipe holds the splits; images already there are copied, not decoded."""
    began = time.perf_counter()
    wanted = read_dataset(workspace).of_split(*splits)
    before = open_cache(workspace, recipe)
    if before is not None and before.holds(wanted):
        return PreprocessResult(before, len(before.index), 0, time.perf_counter() - began, reused=True)
    rows = _with_earlier(wanted, before, workspace)
    known = {} if before is None else {sha: place for place, sha in enumerate(before.index["sha256"])}
    decoded = int((~rows["sha256"].isin(known.keys())).sum())
    images = _pixels(workspace, recipe, rows, before, known, workers)
    cache = write_cache(workspace, recipe, rows, tracked(images, progress, "preprocess", total=len(rows)))
    return PreprocessResult(cache, len(rows), decoded, time.perf_counter() - began, reused=False)


def _with_earlier(wanted: pd.DataFrame, before: PixelCache | None, workspace: Workspace) -> pd.DataFrame:
    """Return the wanted rows and those of other splits that the cache holds already, in manifest order."""
    usable = read_dataset(workspace).usable
    if before is None:
        return wanted
    kept = set(zip(before.index["image_id"], before.index["sha256"], strict=True))
    there = [pair in kept for pair in zip(usable["image_id"], usable["sha256"], strict=True)]
    return usable[np.array(there) | usable["image_id"].isin(wanted["image_id"]).to_numpy()]


def _pixels(
    workspace: Workspace,
    recipe: Recipe,
    rows: pd.DataFrame,
    before: PixelCache | None,
    known: dict[str, int],
    workers: int | None,
) -> Iterator[NDArray[np.uint8]]:
    def pixels_of(row: tuple[str, str, str]) -> NDArray[np.uint8]:
        image_id, path, sha = row
        if before is not None and sha in known:
            return np.asarray(before.pixels[known[sha]], dtype=np.uint8)
        try:
            return recipe.apply(read_image(workspace.absolute(path)))
        except UnreadableImage as error:
            raise DataError(
                f"'{image_id}' can no longer be read: {error}",
                "run `medimg ingest` again: it will quarantine it",
            ) from error

    triples = zip(rows["image_id"], rows["path"], rows["sha256"], strict=True)
    return map_ordered(pixels_of, triples, workers=workers)
