"""A small source that can be spoiled, and the front door's answer to it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_quarantine
from medimg_cli.workspace.workspace import Workspace


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)).save(path)
    return path


def flat(root: Path, count: int = 8) -> Path:
    for number in range(count):
        draw(root / f"{number}.png", number)
    return root


def table(lines: list[str], *, header: str = "file,label") -> str:
    return "\n".join([header, *lines]) + "\n"


def labels(count: int = 8) -> list[str]:
    return [f"{number}.png,{'SICK' if number % 2 else 'WELL'}" for number in range(count)]


def classes(root: Path, patients: int = 6) -> Path:
    for patient in range(patients):
        for view in "ab":
            draw(
                root / ("SICK" if patient % 2 else "WELL") / f"p{patient}_{view}.png", patient * 2 + ord(view)
            )
    return root


class Outcome:
    """What one `medimg ingest` did: exit code, JSON, stderr and the quarantine."""

    def __init__(self, workspace: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        capsys.readouterr()
        self.code = run(["ingest", *arguments, "--workspace", str(workspace), "--json"])
        said = capsys.readouterr()
        self.errors = said.err.splitlines()
        self.result = json.loads(said.out) if said.out else {}
        rows = read_quarantine(Workspace(workspace))
        self.reasons = {
            Path(path).name: reason for path, reason in zip(rows["path"], rows["reason"], strict=True)
        }

    @property
    def error(self) -> str:
        """Return the error, which stands in one line with a hint below."""
        error, hint = self.errors[-2:]
        assert hint.startswith("hint: ")
        return error.removeprefix("error: ")


Ingest = Callable[..., Outcome]


def with_table(tmp_path: Path, content: str | bytes, ingest: Ingest, *more: str) -> Outcome:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ingest(flat(tmp_path / "raw"), "--labels", path, *more)
