"""A cohort that grows between two ingests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import read_image
from medimg_cli.stages import ingest as stage
from medimg_cli.stages.ingest import IngestResult, ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def cohort(root: Path, patients: range, *, views: str = "ab", offset: int = 0) -> Path:
    for patient in patients:
        for view in views:
            name = f"{'SICK' if patient % 2 else 'WELL'}/p{patient:03d}_{view}.png"
            draw(root / name, offset + patient * 10 + ord(view) - 97)
    return root


def again(tmp_path: Path, *sources: Path, **settings: Any) -> IngestResult:
    return ingest(Workspace(tmp_path / "study"), sources, IngestSettings(**settings))


def splits(tmp_path: Path) -> dict[str, str]:
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    return dict(zip(rows["image_id"], rows["split"], strict=True))


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of every file that is decoded from now on."""
    opened: list[str] = []

    def watched(path: str) -> DecodedImage:
        opened.append(Path(path).name)
        return read_image(path)

    monkeypatch.setattr(stage, "read_image", watched)
    return opened
