"""A tiny cohort to ingest, and what ingest says of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.stages.ingest import IngestResult, ingest
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace


class Listener(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(f"note: {message}")

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def cohort(root: Path, *, patients: int = 12, splits: tuple[str, ...] = ("",)) -> Path:
    """Draw two images a patient; patients alternate between the classes."""
    number = 0
    for split in splits:
        for patient in range(patients):
            for view in "ab":
                name = f"{'SICK' if patient % 2 else 'normal'}/{split}p{patient:02d}_{view}.png"
                draw(root / split / name, number)
                number += 1
    return root


def run(tmp_path: Path, *sources: Path, **settings: Any) -> tuple[IngestResult, pd.DataFrame]:
    workspace = Workspace(tmp_path / "study")
    result = ingest(workspace, sources, IngestSettings(**settings))
    return result, read_dataset(workspace).rows
