"""The manifest on disk: the same bytes in every process, and edits by hand are noticed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.stages.ingest import ingest
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.workspace.settings import IngestSettings, PreprocessSettings
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write
from tests.stages.ingest_cohort import Listener, cohort, draw

_INGEST = """
import sys
from pathlib import Path
from medimg_cli.stages.ingest import ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
ingest(Workspace(Path(sys.argv[1])), [Path(sys.argv[2])], IngestSettings(folds=2, labels=Path(sys.argv[3])))
"""


def test_the_manifest_has_the_same_bytes_for_every_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rows = []
    for number in range(12):
        name = f"i{number:02}"
        if number % 3:
            draw(tmp_path / "raw" / f"{name}.png", number)
        else:
            samples = np.random.default_rng(number).integers(0, 255, (6, 8), dtype=np.uint8)
            image = dicom_image(samples, WindowCenter=100, WindowWidth=90, PatientID=f"P{number}")
            write(image, tmp_path / "raw" / f"{name}.dcm")
        rows.append(
            {"image": name, "label": "ab"[number % 2], "age": number, "site": "xyz"[number % 3], "=sex": "F"}
        )
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    written = set()
    for seed in ("1", "7"):
        place = tmp_path / "study"
        command = [
            sys.executable,
            "-c",
            _INGEST,
            str(place),
            str(tmp_path / "raw"),
            str(tmp_path / "labels.csv"),
        ]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, timeout=120)
        written.add(
            tuple((place / "dataset" / name).read_bytes() for name in ("manifest.csv", "dataset.json"))
        )
        for name in ("manifest.csv", "dataset.json"):
            (place / "dataset" / name).unlink()
    assert len(written) == 1


@pytest.mark.parametrize("column", ["label", "path", "width", "reason"])
def test_an_edit_by_hand_is_noticed_with_its_column(tmp_path: Path, column: str) -> None:
    workspace, listener = Workspace(tmp_path / "study"), Listener()
    ingest(workspace, [cohort(tmp_path / "raw")], IngestSettings())
    preprocess(workspace, PreprocessSettings(size=8), progress=listener)
    assert not any("edited" in line for line in listener.lines)
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    other = {"width": "9", "label": "normal", "reason": "seen by hand"}
    rows.loc[0, column] = other.get(column, str(rows[column].iloc[1]))
    rows.to_csv(workspace.manifest_path, index=False)
    preprocess(workspace, PreprocessSettings(size=8), progress=listener)
    warned = [line for line in listener.lines if "edited" in line]
    assert warned == [
        f"warning: manifest.csv was edited since medimg wrote it (column {column}); what it says now is used"
    ]
    ingest(workspace, [tmp_path / "raw"], IngestSettings(), listener)
    assert "as the sources say again" in next(line for line in reversed(listener.lines) if "edited" in line)
    ingest(workspace, [tmp_path / "raw"], IngestSettings(), again := Listener())
    assert not any("edited" in line for line in again.lines)


def test_rows_taken_out_by_hand_are_noticed(tmp_path: Path) -> None:
    workspace, listener = Workspace(tmp_path / "study"), Listener()
    ingest(workspace, [cohort(tmp_path / "raw")], IngestSettings())
    lines = workspace.manifest_path.read_text().splitlines(keepends=True)
    workspace.manifest_path.write_text("".join(lines[:-2]))
    preprocess(workspace, PreprocessSettings(size=8), progress=listener)
    assert any("edited since" in line for line in listener.lines)
