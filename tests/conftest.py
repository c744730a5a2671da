"""What several tests share: the real images beside the checkout, and one tiny trained workspace."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.workspace.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parent.parent
SIDE_PX = 32


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let the garbage collector never look at what all tests share: a pass over modules and tests takes half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Let nothing of this process wait until a disk has written; tests of it put their own `fsync` in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images (../shared/data) are not on this machine")
    return folder


def draw_cohort(folder: Path, *, patients: int = 30, seed: int = 0) -> Path:
    """Write two images a patient, classes CLEAR and SPOT: noise, with or without a bright spot."""
    generator = np.random.default_rng(seed)
    for patient in range(patients):
        label = "SPOT" if patient % 2 else "CLEAR"
        for view in range(2):
            pixels = generator.normal(90, 12, (SIDE_PX, SIDE_PX))
            if label == "SPOT":
                top, left = generator.integers(4, SIDE_PX - 12, 2)
                pixels[top : top + 8, left : left + 8] += 110
            target = folder / label / f"patient{patient:03d}_{view}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target)
    return folder


def medimg(workspace: Path, *arguments: str) -> int:
    """Run one command through the front door and return its exit code."""
    return run([*arguments, "--workspace", str(workspace), "--quiet"])


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Return a folder of 60 tiny images of 30 patients."""
    return draw_cohort(tmp_path / "raw")


@pytest.fixture
def weights_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings of this process end with the weights: no ONNX copy, no reference, no check of heat maps."""
    monkeypatch.setattr("medimg_cli.training.train_run.AFTER_TRAINING", {})


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with a data set and one evaluated run; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("trained")
    raw = draw_cohort(folder / "raw")
    ingest = (
        "ingest",
        str(raw),
        "--positive",
        "SPOT",
        "--patient-regex",
        r"(patient\d+)",
        "--split",
        "0.5,0.25,0.25",
    )
    assert medimg(folder, *ingest) == 0
    assert medimg(folder, "train", "--epochs", "6", "--batch-size", "8", "--name", "first") == 0
    assert medimg(folder, "evaluate") == 0
    return Workspace(folder)
