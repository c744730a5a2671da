"""How fast a folder of pictures is decoded and resized, beside what torchvision's ImageFolder does.

    python -m tests.benchmarks.bench_decode FOLDER [--size 224] [--rounds 7]

Prints one JSON object. Times are CPU time of one thread. The loaders take turns, a folder at a time, so that what
else the machine does falls on all alike and each runs as it would by itself; the median of the rounds counts.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.readers import read_image
from medimg_cli.preprocessing.recipe import Recipe

Loader = Callable[[str], NDArray[Any]]
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def as_image_folder(path: str, size_px: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) as torchvision's `default_loader` and `Resize((size, size))` make it of a file."""
    with Path(path).open("rb") as stream:
        picture = Image.open(stream).convert("RGB")
    return np.asarray(picture.resize((size_px, size_px), Image.Resampling.BILINEAR), dtype=np.uint8)


def as_medimg(path: str, recipe: Recipe) -> NDArray[Any]:
    """Return the pixels every command works with."""
    return recipe.apply(read_image(path, recipe.read_options))


def as_medimg_decoded_whole(path: str, recipe: Recipe) -> NDArray[Any]:
    """Return the same without the reduced scale, which is what it has to equal."""
    return recipe.apply(read_image(path))


def times(loaders: dict[str, Loader], paths: list[str], rounds: int) -> dict[str, float]:
    """Return milliseconds a picture by loader, the median of `rounds` after one to warm up."""
    sums: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(rounds + 1):
        for name, load in loaders.items():
            begin = time.thread_time()
            for path in paths:
                load(path)
            sums[name].append((time.thread_time() - begin) / len(paths) * 1000)
    return {name: median(rounds_of_one[1:]) for name, rounds_of_one in sums.items()}


def differences(first: Loader, second: Loader, paths: list[str]) -> dict[str, float]:
    """Return how far two loaders lie apart, in grey levels of 0..255: mean, mean of the worst picture, largest."""
    gaps = [np.abs(first(path).astype(float) - second(path).astype(float)) for path in paths]
    return {
        "mean": round(float(np.mean([gap.mean() for gap in gaps])), 3),
        "worst_picture": round(max(float(gap.mean()) for gap in gaps), 3),
        "largest": round(max(float(gap.max()) for gap in gaps), 1),
    }


def measure(folder: Path, size_px: int, rounds: int) -> dict[str, Any]:
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    letterbox = Recipe(size_px=size_px, channels=1)
    stretch = Recipe(size_px=size_px, channels=1, resize_mode="stretch")
    loaders: dict[str, Loader] = {
        "image_folder": partial(as_image_folder, size_px=size_px),
        "medimg": partial(as_medimg, recipe=letterbox),
        "medimg_decoded_whole": partial(as_medimg_decoded_whole, recipe=letterbox),
    }
    milliseconds = times(loaders, paths, rounds)
    return {
        "pictures": len(paths),
        "milliseconds": {name: round(value, 2) for name, value in milliseconds.items()},
        "times_as_fast": round(milliseconds["image_folder"] / milliseconds["medimg"], 2),
        "from_whole_decode": differences(loaders["medimg"], loaders["medimg_decoded_whole"], paths),
        "from_image_folder_stretched": differences(
            partial(as_medimg, recipe=stretch),
            lambda path: as_image_folder(path, size_px).mean(axis=2, keepdims=True),
            paths,
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="measure decoding and resizing")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(measure(given.folder, given.size, given.rounds), indent=2) + "\n")
