"""Images to hold two ways of answering against each other: of the training where they are at hand, else noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError
from medimg_cli.images.archives import is_litter
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.preprocessing.cache import open_cache, present
from medimg_cli.preprocessing.recipe import Pixels, Recipe, noise
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.workspace import Workspace

COUNT = 64


@dataclass(frozen=True)
class Shown:
    """Images at hand.

    Args:
        pixels: (N, H, W, C), as the recipe makes them.
        kind: what they are, in words.
    """

    pixels: Pixels
    kind: str


def pixels_at_hand(workspace: Workspace, recipe: Recipe, count: int = COUNT) -> Shown:
    """Return at most `count` images of the training, spread evenly over it, or as many of noise.

    Noise is seeded and of several grains, but it is unlike any image: where it is answered alike, images nearly
    always are, and where it is not, images may be.
    """
    cache = open_cache(workspace, recipe) if workspace.manifest_path.is_file() else None
    if cache is not None:
        rows = read_dataset(workspace).of_split("train")
        rows = rows[present(cache.index, rows)]
        if len(rows):
            places = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(np.int64))
            positions = cache.positions(rows["image_id"].iloc[places].tolist())
            return Shown(cache.pixels[np.sort(positions)], "training images")
    return Shown(noise(recipe, count), "images of noise")


def files_at_hand(workspace: Workspace, folder: Path | None, count: int) -> list[str]:
    """Return at most `count` images, spread evenly over those of `folder`, or of the data set where it is None.

    Raises:
        DataError: there is none.
    """
    if folder is None:
        found = [workspace.absolute(path) for path in read_dataset(workspace).usable["path"]]
    else:
        below = sorted(path for path in folder.rglob("*") if path.is_file())
        found = [path.as_posix() for path in below if not is_litter(path.relative_to(folder).as_posix())]
    if not found:
        raise DataError(f"no image in {folder or workspace.root}", "name a folder of images by --data")
    places = np.unique(np.linspace(0, len(found) - 1, count).round().astype(np.int64))
    return [found[place] for place in places]


_AGAIN = "run `medimg ingest` again: it takes the file as it is now, or says why it cannot"


def read_ingested(image_id: str, path: str, options: ReadOptions) -> DecodedImage:
    """Return an image of the manifest.

    Raises:
        DataError: it can no longer be read.
    """
    try:
        return read_image(path, options)
    except UnreadableImage as error:
        raise DataError(f"'{image_id}' can no longer be read: {error}", _AGAIN) from error


def refuse_changed(image_id: str, path: Path, sha256: str) -> None:
    """Compare a file with its row in the manifest; an archive's member has no file of its own to compare.

    Raises:
        DataError: it is another one, or cannot be read.
    """
    try:
        changed = path.is_file() and sha256_of_file(path) != sha256
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"'{image_id}' can no longer be read: {reason}", _AGAIN) from error
    if changed:
        raise DataError(f"'{image_id}' is another file than the one that was ingested", _AGAIN)
