"""preprocess: manifest → one memory-mapped array of pixels."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medimg_cli.dataset.manifest import SPLITS, Dataset, read_dataset, warn_of_edits
from medimg_cli.errors import DataError
from medimg_cli.preprocessing.automatic_choices import WantedImages, plan_recipe
from medimg_cli.preprocessing.cache import PixelCache, cache_folder, open_cache, present
from medimg_cli.preprocessing.cache_writer import writing
from medimg_cli.preprocessing.probe_images import read_ingested, refuse_changed
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.settings import PreprocessSettings, TrainSettings
from medimg_cli.workspace.shards import Merged
from medimg_cli.workspace.threads import ENGINE, in_part, map_ordered, takes_too_long
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class PreprocessResult:
    """What preprocessing did.

    Args:
        cache: the pixels, with at least the wanted splits; images that left the data set may still be in it.
        images: how many were wanted.
        decoded: how many were decoded now; the others were there.
        cropped: how many had a frame that was cut, of all that are cached; 0 without border crop.
        reused: nothing had to be decoded.
    """

    cache: PixelCache
    images: int
    decoded: int
    seconds: float
    reused: bool

    @property
    def cropped(self) -> int:
        index = self.cache.index
        return int((index["border"] != "").sum()) if "border" in index else 0

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
    train: TrainSettings | None = None,
    wants: WantedImages | None = None,
    splits: Sequence[str] = SPLITS,
    progress: Progress = SilentProgress(),
) -> PreprocessResult:
    """Make the pixel cache of a data set at the size a network prefers.

    Args:
        workspace: holds the data set.
        settings: size and channels may be "auto".
        train: whose network's preferred size "auto" takes; None = the usual one's.
        wants: as of `plan_recipe`.
        splits: only these are decoded; training leaves the test images untouched.
        progress: notified of every image that is decoded.

    Raises:
        DataError: no data set, or an image changed or vanished since ingest; what was decoded is kept.
        MachineError: the disk is full, or another process writes the same cache.
    """
    dataset = read_dataset(workspace)
    warn_of_edits(dataset.edited, progress, rows=dataset.rows)
    recipe = plan_recipe(dataset, settings, train=train or TrainSettings(), wanted=wants)
    wanted = _of_splits(dataset, splits)
    del dataset  # of a million images it is the largest thing in memory, and three columns are enough
    seconds = settings.decode_seconds
    return _bring_up_to_date(workspace, recipe, wanted, settings.workers, seconds, progress)


def preprocess_with(
    workspace: Workspace,
    recipe: Recipe,
    *,
    splits: Sequence[str] = SPLITS,
    workers: int | None = None,
    progress: Progress = SilentProgress(),
) -> PreprocessResult:
    """Make sure the cache of a given recipe holds the splits; only images that are not there are decoded.

    An earlier call that was killed is continued where it stood.

    Raises:
        DataError, MachineError: as `preprocess` does.
    """
    wanted = _of_splits(read_dataset(workspace), splits)
    seconds = PreprocessSettings().decode_seconds
    return _bring_up_to_date(workspace, recipe, wanted, workers, seconds, progress)


def _of_splits(dataset: Dataset, splits: Sequence[str]) -> pd.DataFrame:
    return dataset.of_split(*splits)[["image_id", "path", "sha256"]]


def _bring_up_to_date(
    workspace: Workspace,
    recipe: Recipe,
    wanted: pd.DataFrame,
    workers: int | None,
    seconds: float,
    progress: Progress,
) -> PreprocessResult:
    began = time.perf_counter()
    before = open_cache(workspace, recipe)
    damaged = [] if before is None else before.damaged(wanted["image_id"].tolist())
    folder = cache_folder(workspace, recipe)
    if before is None and (folder / "index.csv").is_file():
        progress.warn(f"{folder} is damaged, or of an earlier version: what cannot be used is decoded again")
    if damaged:
        progress.warn(
            f"{len(damaged):,} of {len(wanted):,} images in the cache do not match their checksum, such as "
            f"'{damaged[0]}': they are decoded again"
        )
    if before is not None and not damaged and before.holds(wanted):
        return PreprocessResult(before, len(wanted), 0, time.perf_counter() - began, reused=True)
    if in_part():
        missing = wanted
        if before is not None:
            missing = wanted[~present(before.index[~before.index["image_id"].isin(damaged)], wanted)]
        deque(_images(workspace, recipe, missing, workers, seconds), maxlen=0)
    merging = isinstance(ENGINE.get(), Merged)  # of shards of all that the last finished write lacks
    with writing(workspace, recipe, anew=merging) as writer:
        writer.forget(damaged)
        missing = writer.missing(wanted)
        if 0 < len(missing) < len(wanted):
            progress.note(
                f"{len(wanted) - len(missing):,} of {len(wanted):,} images are in the cache already"
            )
        images = _images(workspace, recipe, missing, workers, seconds)
        writer.append(missing, tracked(images, progress, "preprocess", total=len(missing)))
        cache = writer.finish()
    return PreprocessResult(cache, len(wanted), len(missing), time.perf_counter() - began, reused=False)


def _images(
    workspace: Workspace, recipe: Recipe, rows: pd.DataFrame, workers: int | None, seconds: float
) -> Iterator[tuple[Pixels, str]]:
    """Yield the pixels of each row and what was cut of them, in order."""
    options = recipe.read_options

    def decode(row: tuple[str, str, str]) -> tuple[Pixels, str]:
        image_id, path, sha256 = row
        location = workspace.absolute(path)
        image = read_ingested(image_id, location, options)
        refuse_changed(image_id, Path(location), sha256)
        return recipe.apply_telling_border(image)

    def late(row: tuple[str, str, str]) -> tuple[Pixels, str]:
        hint = "`medimg ingest` again, or give it time: --set preprocess.decode_seconds=600"
        raise DataError(f"'{row[0]}' can no longer be read: {takes_too_long(seconds)}", hint)

    triples = zip(rows["image_id"], rows["path"], rows["sha256"], strict=True)
    return map_ordered(decode, triples, workers=workers, seconds=seconds, late=late, task="preprocess")
