"""The folders of images every tool is given: `fit/train`, `fit/val` and, apart, `test`, with one folder a class."""

import hashlib
import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

_JPEG_QUALITY = 92
_LARGEST_TURN_DEG = 5.0
_LEAST_SHARE_OF_SIDE = 0.9
_GAMMA = (0.8, 1.25)
_VERSION = 1  # of the recipe below: another number makes the images again
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Cohort:
    """Where the images lie, half of each part of either class.

    Args:
        fit: folder with `train/` and `val/`, all a tool sees before its model is trained.
        test: folder of held-out images.
        images: how many in train, val and test.
    """

    fit: Path
    test: Path
    images: dict[str, int]

    def folder(self, part: str) -> Path:
        return self.test if part == "test" else self.fit / part


@dataclass(frozen=True)
class _Copy:
    """One image to be written: which source, under which name."""

    source: Path
    target: Path


def perturbed_cohort(data: Path, folder: Path, images: dict[str, int]) -> Cohort:
    """Return full-size X-rays made of the few there are, each source in one part only.

    Every image is a random crop of at least 90 % of each side of its source, turned by at most 5 degrees, with
    another gamma, as JPEG of about the source's size: decoding costs what it costs with real ones. **What is
    reached on the test part says little:** it comes from a handful of patients.

    Args:
        data: holds `chest_xray_fullres`, with a folder a class.
        folder: written to, unless it holds this cohort already.
    """
    data, copies = data / "chest_xray_fullres", []
    for name in _classes(data):
        for part, sources in _shares(_files(data / name), images).items():
            wanted = images[part] // 2
            copies += [
                _Copy(source, _folder(folder, part) / name / f"{source.stem}_{number:04d}.jpeg")
                for number, source in zip(range(wanted), _around(sources), strict=False)
            ]
    return _made(folder, data, images, copies, _write_perturbed)


def subset_cohort(data: Path, folder: Path, images: dict[str, int]) -> Cohort:
    """Return a fixed choice of the training folder of `chest_xray`, no patient in two parts, no file twice.

    The data set's own test folder stays untouched: it is for `medimg evaluate`.
    """
    data, copies = data / "chest_xray", []
    for name in _classes(data / "train"):
        left = iter(_by_patient(data / "train" / name))
        for part in reversed(PARTS):
            chosen: list[Path] = []
            while len(chosen) < images[part] // 2:
                chosen += next(left)
            copies += [
                _Copy(source, _folder(folder, part) / name / source.name)
                for source in chosen[: images[part] // 2]
            ]
    return _made(folder, data, images, copies, _write_same)


def _made(
    folder: Path, data: Path, images: dict[str, int], copies: list[_Copy], write: Callable[[_Copy], None]
) -> Cohort:
    """Write what is not there yet; a note of what it is goes last."""
    cohort = Cohort(folder / "fit", folder / "test", images)
    note = folder / "cohort.json"
    wanted = json.dumps({"version": _VERSION, "data": data.name, **asdict(cohort)}, default=str)
    if note.is_file() and note.read_text() == wanted:
        return cohort
    shutil.rmtree(folder, ignore_errors=True)
    for parent in {copy.target.parent for copy in copies}:
        parent.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:  # Pillow lets the other thread run
        list(pool.map(write, copies))
    note.write_text(wanted)
    return cohort


def _write_same(copy: _Copy) -> None:
    shutil.copyfile(copy.source, copy.target)


def _write_perturbed(copy: _Copy) -> None:
    chance = random.Random(copy.target.name)
    with Image.open(copy.source) as picture:
        turned = picture.rotate(
            chance.uniform(-_LARGEST_TURN_DEG, _LARGEST_TURN_DEG), Image.Resampling.BILINEAR
        )
    width, height = (round(side * chance.uniform(_LEAST_SHARE_OF_SIDE, 1.0)) for side in turned.size)
    left, top = chance.randint(0, turned.width - width), chance.randint(0, turned.height - height)
    gamma = chance.uniform(*_GAMMA)
    levels = [round(255 * (level / 255) ** gamma) for level in range(256)]
    cropped = turned.crop((left, top, left + width, top + height))
    cropped.point(levels * len(cropped.getbands())).save(copy.target, quality=_JPEG_QUALITY)


def _shares(sources: list[Path], images: dict[str, int]) -> dict[str, list[Path]]:
    """Return the sources of each part: two thirds for training, the rest between validation and test."""
    shuffled = random.Random(len(sources)).sample(sources, len(sources))
    a_part = max(1, len(sources) // 6)
    shares = {
        "test": shuffled[:a_part],
        "val": shuffled[a_part : 2 * a_part],
        "train": shuffled[2 * a_part :],
    }
    return {part: shares[part] for part in images}


def _by_patient(folder: Path) -> list[list[Path]]:
    """Return the files of each patient, patients in a fixed random order, byte-identical files once."""
    patients: dict[str, list[Path]] = defaultdict(list)
    seen: set[str] = set()
    for path in _files(folder):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            patients[patient_of(path.name)].append(path)
    return random.Random(0).sample(list(patients.values()), len(patients))


def patient_of(name: str) -> str:
    """Return what the name says of the patient.

    >>> patient_of("person1000_virus_1681.jpeg"), patient_of("NORMAL2-IM-0424-0001.jpeg")
    ('person1000', 'NORMAL2-IM-0424')
    """
    found = re.match(r"person\d+|(NORMAL2-)?IM-\d+", name)
    return found.group() if found else name


def _around(sources: list[Path]) -> Iterable[Path]:
    while True:
        yield from sources


def _folder(folder: Path, part: str) -> Path:
    return folder / "test" if part == "test" else folder / "fit" / part


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".jpeg")


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


COHORTS: dict[str, Callable[[Path, Path, dict[str, int]], Cohort]] = {
    "perturbed": perturbed_cohort,
    "subset": subset_cohort,
}
