"""How many planted copies are found, what is flagged by mistake, and how long the search takes.

python -m tests.benchmarks.bench_near_duplicates FOLDER [--copies 300] [--seed 1] [--search 100000]

FOLDER holds pictures, such as ../shared/data/chest_xray. First the whole folder is searched as it is, and every pair
that is not equal pixel by pixel is named: look at them. Then copies of some pictures are planted, one way of copying
at a time, among the originals of these pictures, and in one go among all. Last, fingerprints mixed from those of the
folder are searched, beside the plain comparison of 64-bit hashes of the same number (each on one core, on a part).
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medimg_cli.audit.duplicates.fingerprint import Floats, Weighing, reduced, transform
from medimg_cli.audit.duplicates.likely_pairs import likely_pairs
from medimg_cli.audit.duplicates.near_duplicates import (
    Groups,
    NearDuplicates,
    find_near_duplicates,
)
from medimg_cli.audit.measurements.thumbnails import thumbnail
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import read_image
from medimg_cli.workspace.threads import map_ordered

Picture = NDArray[np.uint8]
SUFFIXES = {".jpeg", ".jpg", ".png", ".dcm", ".tif", ".tiff", ".bmp"}


def _jpeg(picture: Picture) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=50)
    return np.asarray(Image.open(stream))


def _marked(picture: Picture) -> Picture:
    image = Image.fromarray(picture)
    place = (image.width * 0.06, image.height * 0.06)
    ImageDraw.Draw(image).text(place, "R", fill=255, font_size=image.height * 0.12)
    return np.asarray(image)


def _turned(degrees: float) -> Callable[[Picture], Picture]:
    return lambda picture: np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC))


def _cropped(left: float, right: float) -> Callable[[Picture], Picture]:
    def crop(picture: Picture) -> Picture:
        height, width = picture.shape
        return picture[
            round(height * left) : height - round(height * right),
            round(width * left) : width - round(width * right),
        ]

    return crop


def _grey(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Picture], Picture]:
    return lambda picture: change(picture.astype(np.float64)).clip(0, 255).round().astype(np.uint8)


COPIES: dict[str, tuple[float, Callable[[Picture], Picture]]] = {
    "JPEG quality 50": (0.99, _jpeg),
    "brightness +30": (0.99, _grey(lambda grey: grey + 30)),
    "brightness -30": (0.99, _grey(lambda grey: grey - 30)),
    "contrast x1.3": (0.99, _grey(lambda grey: (grey - grey.mean()) * 1.3 + grey.mean())),
    "gamma 1.5": (0.99, _grey(lambda grey: 255 * (grey / 255) ** 1.5)),
    "marker R": (0.99, _marked),
    "resize x0.5": (0.99, lambda picture: np.asarray(Image.fromarray(picture).reduce(2))),
    "crop 2 % a side": (0.95, _cropped(0.02, 0.02)),
    "turn 2 degrees": (0.95, _turned(2)),
    "mirrored": (0.95, lambda picture: picture[:, ::-1]),
    "upside down": (0.95, lambda picture: picture[::-1]),
    "inverted": (0.95, lambda picture: 255 - picture),
    "crop 5 % a side": (0.80, _cropped(0.05, 0.05)),
    "crop 5 % at two sides": (0.80, _cropped(0, 0.05)),
    "turn 5 degrees": (0, _turned(5)),
    "quarter turn": (0, lambda picture: np.rot90(picture)),
    "mirrored, turn 2": (0, lambda picture: _turned(2)(picture[:, ::-1])),
}


def main() -> int:
    """Print the figures; 0 when every way of copying is found as often as it should be."""
    options = _options()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    images = list(map_ordered(lambda path: read_image(str(path)), paths))
    different = np.unique([image.pixel_sha256() for image in images], return_index=True)[1]
    paths, images = [paths[n] for n in np.sort(different)], [images[n] for n in np.sort(different)]
    thumbnails = np.stack([thumbnail(image) for image in images])
    found = _timed("the folder as it is", thumbnails)
    for pair in found.pairs:
        sys.stdout.write(
            f"  {pair.similarity:.3f} {pair.kind}: {paths[pair.first].name} {paths[pair.second].name}\n"
        )
    chosen = np.random.default_rng(options.seed).permutation(len(images))[: options.copies]
    greys = [np.asarray(Image.fromarray(images[n].as_uint8().squeeze()).convert("L")) for n in chosen]
    done = [_plant(name, thumbnails[chosen], greys) for name in COPIES]
    _plant_among_all(thumbnails, chosen, greys)
    if options.search:
        _search(reduced(thumbnails) @ transform(), options.search)
    return 0 if all(done) else 1


def _timed(title: str, thumbnails: Picture) -> NearDuplicates:
    began, cpu = time.perf_counter(), time.process_time()
    found = find_near_duplicates(thumbnails.__getitem__, len(thumbnails))
    confirmed = sum(pair.is_confirmed for pair in found.pairs)
    sys.stdout.write(
        f"{title}: {len(thumbnails):,} pictures, {confirmed} pairs confirmed, {len(found.pairs) - confirmed} suspected, "
        f"{found.compared:,} compared, {found.passed_over:,} passed over; {time.process_time() - cpu:.1f} s of CPU, "
        f"{time.perf_counter() - began:.1f} s\n"
    )
    return found


def _plant(name: str, originals: Picture, greys: list[Picture]) -> bool:
    """Print the share of copies found among the originals; return whether it suffices."""
    aim, copy = COPIES[name]
    count = len(originals)
    pictures = np.concatenate([originals, _thumbnails(copy, greys)])
    found = find_near_duplicates(pictures.__getitem__, len(pictures))
    recall = _recall(found, len(pictures), np.arange(count), np.arange(count) + count)
    sys.stdout.write(f"  {name:22s} recall {recall:.3f} (aim {aim:.2f})\n")
    return recall >= aim


def _plant_among_all(thumbnails: Picture, chosen: NDArray[np.int64], greys: list[Picture]) -> None:
    """Print the share found with every way of copying in turn, planted in the whole folder at once."""
    ways = list(COPIES)
    copies = [_thumbnails(COPIES[ways[n % len(ways)]][1], [grey])[0] for n, grey in enumerate(greys)]
    pictures = np.concatenate([thumbnails, np.stack(copies)])
    found = _timed("copies among all", pictures)
    recall = _recall(found, len(pictures), chosen, np.arange(len(chosen)) + len(thumbnails))
    sys.stdout.write(f"  all ways in turn: recall {recall:.3f}\n")


def _thumbnails(copy: Callable[[Picture], Picture], greys: list[Picture]) -> Picture:
    return np.stack(
        [thumbnail(DecodedImage(np.ascontiguousarray(copy(grey))[..., None], 8)) for grey in greys]
    )


def _recall(
    found: NearDuplicates, count: int, originals: NDArray[np.int64], copies: NDArray[np.int64]
) -> float:
    groups = Groups(count)
    for pair in found.pairs:
        if pair.is_confirmed:
            groups.tie(pair.first, pair.second)
    tied = [groups.are_tied(int(one), int(other)) for one, other in zip(originals, copies, strict=True)]
    return float(np.mean(tied))


def _search(coefficients: Floats, count: int) -> None:
    """Print the time of the search among fingerprints of mixed pictures, and of plain hashes."""
    random = np.random.default_rng(0)
    first, second = random.integers(0, len(coefficients), (2, count))
    share = random.uniform(0.2, 0.8, (count, 1)).astype(np.float32)
    mean = coefficients.mean(axis=0)
    mixed = coefficients[first] * share + coefficients[second] * (1 - share) - mean
    mixed = mean + mixed / np.sqrt(share**2 + (1 - share) ** 2)
    fingerprints = Weighing([mixed]).fingerprints(mixed)
    for floor, queries, title in ((0.60, None, "as they are"), (0.75, fingerprints.rows, "altered")):
        began, cpu = time.perf_counter(), time.process_time()
        pairs = likely_pairs(fingerprints, queries, floor=floor)
        sys.stdout.write(
            f"search of {count:,} {title}: {time.process_time() - cpu:.1f} s of CPU, "
            f"{time.perf_counter() - began:.1f} s, {len(pairs):,} likely pairs\n"
        )
    hashes = random.integers(0, 2**63, count, dtype=np.uint64)
    began = time.process_time()
    for one in range(0, count, 100):
        np.flatnonzero(np.bitwise_count(hashes[one] ^ hashes[one + 1 :]) <= 10)
    sys.stdout.write(f"64-bit hashes, every pair: {100 * (time.process_time() - began):.1f} s of CPU\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--search", type=int, default=100_000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
