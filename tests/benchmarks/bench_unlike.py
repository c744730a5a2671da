"""How many images of other kinds a trained model refuses, at what share of ordinary ones.

python -m tests.benchmarks.bench_unlike WORKSPACE --run NAME [--other NAME=FOLDER …] [--photos FOLDER …] [--most 200]

WORKSPACE holds the data set and the run. Its test split says how many ordinary images are refused at the limit that
validation set, and where the limit would have to lie for 5 % of test. Held against it are test images that were altered,
drawn noise, every image of the folders given as `--other` (a MedMNIST .npz file counts as one), and tiles of photographs:
in colour, and as grey pictures. Each line has the share refused at either limit, by each detector, and of other flags.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.flags import Comparison, Evidence, raised
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import members_of, quick_predictor
from medimg_cli.preprocessing.recipe import Pixels, with_channels
from medimg_cli.runs.run import Run
from medimg_cli.workspace.threads import map_ordered
from medimg_cli.workspace.workspace import Workspace

TILE_PX = 224
TILES = 12
BATCH = 32
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """What was said of one image."""

    unlikeness: dict[str, float]
    flags: tuple[str, ...]

    @property
    def most(self) -> float:
        return max(self.unlikeness.values())


def said_of(judge: Classifier, images: Iterable[DecodedImage]) -> list[Found]:
    """Return what the model says of each image, refused or not."""
    found, waiting = [], list(images)
    prepared = list(map_ordered(judge.prepare, waiting))
    for start in range(0, len(prepared), BATCH):
        batch = prepared[start : start + BATCH]
        pixels: Pixels = np.stack([one.pixels for one in batch])  # type: ignore[assignment]
        answer = judge.predictor.answer(pixels)
        for place, one in enumerate(batch):
            features = [each[place] for each in answer.features]
            assert judge.references is not None
            assert one.measured is not None
            unlikeness = judge.references.unlikeness(one.measured, features)
            comparison = Comparison(one.measured, unlikeness, judge.references)
            found.append(Found(unlikeness, raised(Evidence(None, comparison))))
    return found


def read(judge: Classifier, paths: Iterable[str]) -> list[DecodedImage]:
    def one(path: str) -> DecodedImage | None:
        try:
            return read_image(path, judge.card.recipe.read_options)
        except UnreadableImage:
            return None

    return [image for image in map_ordered(one, paths) if image is not None]


def files_of(folder: Path, most: int) -> list[str]:
    """Return image files below a folder, at most so many, spread evenly; masks beside ultrasounds are left out."""
    if folder.suffix == ".npz":
        count = len(np.load(folder)["test_images"])
        paths = [f"{folder}#test/{number}" for number in range(count)]
    else:
        suffixes = {".jpeg", ".jpg", ".png", ".dcm", ".tif", ".tiff", ".bmp"}
        paths = [
            str(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in suffixes and "_mask" not in path.stem
        ]
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def tiles_of(photos: Iterable[DecodedImage], generator: np.random.Generator) -> Iterator[DecodedImage]:
    """Yield each photograph whole, and squares cut from it."""
    for photo in photos:
        pixels = photo.as_uint8()
        yield DecodedImage(pixels, 8)
        side = min(TILE_PX, *pixels.shape[:2])
        for _ in range(TILES):
            top, left = (int(generator.integers(0, length - side + 1)) for length in pixels.shape[:2])
            yield DecodedImage(pixels[top : top + side, left : left + side], 8)


def grey(image: DecodedImage) -> DecodedImage:
    return DecodedImage(np.asarray(with_channels(image.as_uint8(), 1), dtype=np.uint8), 8)


def drawn(generator: np.random.Generator, most: int) -> dict[str, list[DecodedImage]]:
    """Return pictures that show nothing: noise of several kinds, ramps, and single values."""
    side = TILE_PX
    across = np.linspace(0, 255, side)[None].repeat(side, axis=0)
    kinds: dict[str, Callable[[], NDArray[np.floating]]] = {
        "uniform noise": lambda: generator.uniform(0, 255, (side, side)),
        "normal noise": lambda: generator.normal(128, 40, (side, side)),
        "coarse noise": lambda: np.kron(generator.uniform(0, 255, (28, 28)), np.ones((8, 8))),
        "ramps": lambda: np.rot90(across, int(generator.integers(4))) * generator.uniform(0.3, 1),
        "single values": lambda: np.full((side, side), generator.uniform(0, 255)),
    }
    return {
        name: [DecodedImage(draw().clip(0, 255).astype(np.uint8)[..., None], 8) for _ in range(most // 4)]
        for name, draw in kinds.items()
    }


def altered(image: DecodedImage) -> dict[str, DecodedImage]:
    """Return a test image as it should not be given to a model."""
    pixels = image.as_uint8()
    height, width = pixels.shape[:2]
    ways = {
        "inverted": 255 - pixels,
        "upside down": pixels[::-1],
        "a quarter turn": np.rot90(pixels),
        "mirrored": pixels[:, ::-1],
        "middle quarter": pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4],
        "at 0.4 brightness": (pixels * 0.4).astype(np.uint8),
        "at 0.3 contrast": (pixels * 0.3 + 90).astype(np.uint8),
        "every 8th pixel": pixels[::8, ::8],
    }
    return {name: DecodedImage(np.ascontiguousarray(way), 8) for name, way in ways.items()}


def line(name: str, found: list[Found], limit: float, seconds: float | None = None) -> None:
    count = len(found)
    by_detector = [
        f"{detector} {np.mean([one.unlikeness.get(detector, 0.0) > 1 for one in found]):.2f}"
        for detector in ("content", "layout", "texture", "colour")
    ]
    flags = sorted({flag for one in found for flag in one.flags} - {"out-of-distribution"})
    shares = [f"{flag} {np.mean([flag in one.flags for one in found]):.2f}" for flag in flags]
    at_val, at_test = (np.mean([one.most > where for one in found]) for where in (1.0, limit))
    took = f" {seconds * 1000 / count:.1f} ms" if seconds is not None else ""
    print(  # noqa: T201
        f"{name:32s} n {count:4d}  refused {at_val:.3f}  at 5 % of test {at_test:.3f}  "
        f"[{', '.join(by_detector)}] {', '.join(shares)}{took}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--run", required=True)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--photos", action="append", default=[], type=Path)
    parser.add_argument("--most", type=int, default=200)
    given = parser.parse_args()
    workspace, run = Workspace(given.workspace), Run(given.workspace / "runs" / given.run)
    predictor = quick_predictor(run)
    if predictor is None:
        raise SystemExit("the run has no ONNX copy")
    judge = Classifier(predictor, references_of(members_of(run, predictor.card)))
    rows = read_dataset(workspace).of_split("test")
    generator = np.random.default_rng(0)
    test = read(judge, rows["path"].tolist())
    began = time.process_time()
    ordinary = said_of(judge, test)
    seconds = time.process_time() - began
    limit = float(np.quantile([one.most for one in ordinary], 0.95))
    print(f"5 % of test lie beyond {limit:.2f} times the limit")  # noqa: T201
    line("test", ordinary, limit, seconds)
    for label, part in rows.groupby("label"):
        places = rows.index.get_indexer(part.index)
        line(f"test: {label}", [ordinary[place] for place in places], limit)
    some = test[:: max(1, len(test) // given.most)]
    for way in altered(some[0]):
        line(way, said_of(judge, [altered(image)[way] for image in some]), limit)
    for name, pictures in drawn(generator, given.most).items():
        line(name, said_of(judge, pictures), limit)
    for other in given.other:
        name, _, folder = other.partition("=")
        line(name, said_of(judge, read(judge, files_of(Path(folder), given.most))), limit)
    photos = [
        replace(one, extent=None) for folder in given.photos for one in read(judge, files_of(folder, 1000))
    ]
    tiles = list(tiles_of(photos, generator))
    if tiles:
        line("photographs", said_of(judge, tiles), limit)
        line("photographs, grey", said_of(judge, [grey(tile) for tile in tiles]), limit)


if __name__ == "__main__":
    main()
