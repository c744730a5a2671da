"""Which frames of a file become images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.dataset.listing import Entry, Rejected, choose_frames, without_frame
from medimg_cli.dataset.manifest import leaks, read_dataset, read_quarantine
from medimg_cli.images.readers import read_image
from medimg_cli.stages.ingest import IngestResult, ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write


def chosen(frames: str, count: int) -> list[Entry | Rejected]:
    entry = Entry("SICK/a.dcm", "/raw/SICK/a.dcm", "SICK", "SICK/a.dcm")
    return list(choose_frames(entry, frames, lambda _: count))


@pytest.mark.parametrize(
    ("frames", "count", "paths"),
    [
        ("middle", 3, ["/raw/SICK/a.dcm"]),
        ("all", 1, ["/raw/SICK/a.dcm"]),
        ("first", 3, ["/raw/SICK/a.dcm#frame/0"]),
        ("2", 3, ["/raw/SICK/a.dcm#frame/2"]),
        ("every:2", 5, [f"/raw/SICK/a.dcm#frame/{number}" for number in (0, 2, 4)]),
        ("every:9", 5, ["/raw/SICK/a.dcm#frame/0"]),
        ("every:2", 1, ["/raw/SICK/a.dcm"]),
        ("all", 2, ["/raw/SICK/a.dcm#frame/0", "/raw/SICK/a.dcm#frame/1"]),
    ],
)
def test_a_file_gives_the_frames_that_are_asked_for(frames: str, count: int, paths: list[str]) -> None:
    assert [choice.path for choice in chosen(frames, count)] == paths


def test_a_frame_that_is_not_there_is_a_row() -> None:
    assert chosen("3", 3) == [Rejected("/raw/SICK/a.dcm", "has 3 frames, counted from 0: no frame 3")]


def test_an_image_keeps_the_id_of_its_file_unless_all_frames_are_images() -> None:
    assert [choice.image_id for choice in chosen("first", 3) if isinstance(choice, Entry)] == ["SICK/a.dcm"]
    ids = [choice.image_id for choice in chosen("all", 2) if isinstance(choice, Entry)]
    assert ids == ["SICK/a.dcm#frame/0", "SICK/a.dcm#frame/1"]
    assert {without_frame(name) for name in ids} == {"SICK/a.dcm"}


def ingested(tmp_path: Path, **settings: Any) -> IngestResult:
    raw = tmp_path / "raw"
    for number in range(6):
        folder = raw / ("SICK" if number % 2 else "WELL")
        folder.mkdir(parents=True, exist_ok=True)
        stack = (np.arange(3) * 50 + number).astype("u1")[:, None, None] * np.ones((1, 2, 2), "u1")
        write(dicom_image(stack, WindowCenter=128, WindowWidth=256), folder / f"{number}.dcm")
    return ingest(Workspace(tmp_path / "study"), [raw], IngestSettings(**settings))


def test_all_frames_of_a_file_are_one_patient_in_one_split(tmp_path: Path) -> None:
    result = ingested(tmp_path, frames="all")
    rows = read_dataset(Workspace(tmp_path / "study")).rows
    assert (result.images, result.patients) == (18, 6)
    assert rows["image_id"].is_unique
    assert leaks(rows) == {"patients": [], "files": []}
    assert rows["patient_id"].iloc[0] == "SICK/1.dcm"
    values = [int(read_image(path).pixels.max()) for path in rows["path"].iloc[:3]]
    assert values == sorted(values)
    assert len(set(values)) == 3
    assert ingested(tmp_path).reused == 18


def test_a_frame_by_number_is_read_and_one_too_far_is_quarantined(tmp_path: Path) -> None:
    ingested(tmp_path, frames="2")
    path = read_dataset(Workspace(tmp_path / "study")).rows["path"].iloc[0]
    assert path.endswith("SICK/1.dcm#frame/2")
    single = tmp_path / "raw" / "SICK" / "short.dcm"
    write(dicom_image(np.zeros((2, 2, 2), "u1")), single)
    result = ingested(tmp_path)
    assert (result.images, result.quarantined) == (6, 1)
    reason = read_quarantine(Workspace(tmp_path / "study"))["reason"].iloc[0]
    assert reason == "has 2 frames, counted from 0: no frame 2"


def test_a_copied_frame_lies_in_a_copy_of_its_whole_file(tmp_path: Path) -> None:
    ingested(tmp_path, frames="all", copy_images=True)
    path = read_dataset(Workspace(tmp_path / "study")).rows["path"].iloc[1]
    assert path == "dataset/images/SICK/1.dcm#frame/1"
    assert read_image(f"{tmp_path}/study/{path}").width == 2
