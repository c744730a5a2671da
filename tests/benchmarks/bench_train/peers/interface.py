"""What every driver is told and what it leaves; no driver imports anything of medimg."""

import argparse
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """One training.

    Args:
        train, val, test: folders with one folder a class.
        size: side in pixels; images are stretched to it.
        out: table of probabilities to write.
        arch: torchvision's name.
        pretrained: file of weights, None = from scratch.
        freeze: train the head alone.
    """

    train: Path
    val: Path
    test: Path
    size: int
    epochs: int
    batch: int
    seed: int
    out: Path
    arch: str
    pretrained: Path | None
    freeze: bool

    @property
    def model(self) -> Path:
        """Return where a driver keeps its model, without suffix."""
        return self.out.with_name("model")

    @property
    def classes(self) -> list[str]:
        return sorted(path.name for path in self.train.iterdir() if path.is_dir())

    def test_files(self) -> list[Path]:
        return sorted(self.test.glob("*/*"))


def task(*, scratch_only: bool = False) -> Task:
    """Return what the command line asks for.

    Args:
        scratch_only: this driver trains a fresh resnet18 and nothing else.
    """
    parser = argparse.ArgumentParser()
    for folder in ("train", "val", "test", "out"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    for number in ("size", "epochs", "batch", "seed"):
        parser.add_argument(f"--{number}", type=int, required=True)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--pretrained", type=Path)
    parser.add_argument("--freeze", action="store_true")
    given = Task(**vars(parser.parse_args()))
    if scratch_only and (given.arch != "resnet18" or given.pretrained or given.freeze):
        parser.error("this driver trains resnet18 from scratch only")
    return given


def model_is_trained(given: Task) -> None:
    """Stop the clock: the model is on disk."""
    given.out.with_suffix(".trained").touch()


def write(
    given: Task, files: Sequence[Path], classes: Sequence[str], rows: Iterable[Sequence[float]]
) -> None:
    """Write the probabilities (N, C) of `files`."""
    with given.out.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", *(f"prob_{name}" for name in classes)])
        for file, row in zip(files, rows, strict=True):
            table.writerow([file, *(float(value) for value in row)])
