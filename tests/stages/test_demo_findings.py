"""The demo cohort with several findings an image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.errors import UsageError
from medimg_cli.stages.demo import DemoResult, demo
from medimg_cli.stages.ingest import dry_run
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo(tmp_path_factory.mktemp("findings"), patients=40, findings=True)


def images_of(result: DemoResult) -> list[dict[str, str]]:
    images: list[dict[str, str]] = json.loads((result.folder / "truth.json").read_text(encoding="utf-8"))[
        "images"
    ]
    return images


def test_findings_are_drawn_apart_and_labelled_in_columns(result: DemoResult) -> None:
    images = images_of(result)
    rows = [
        line.split(",") for line in (result.folder / "labels.csv").read_text(encoding="utf-8").splitlines()
    ]
    assert rows[0] == ["image", "patient_id", "OPACITY", "CARDIOMEGALY", "NODULE"]
    assert len(rows) - 1 == result.images == len(images)
    for row, known in zip(rows[1:], images, strict=True):
        shown = known["label"].split("|")
        assert (result.folder / "images" / row[0]).is_file()
        assert all(
            mark in ("", str(int(name in shown))) for name, mark in zip(rows[0][2:], row[2:], strict=True)
        )
    several = {known["label"] for known in images}
    assert {"", "OPACITY", "CARDIOMEGALY", "NODULE"} < several
    assert any("|" in label for label in several)
    marks = [mark for row in rows[1:] for mark in row[2:]]
    assert 0 < marks.count("") < len(marks) / 8


def test_findings_show_in_the_picture(result: DemoResult) -> None:
    widths: dict[bool, list[float]] = {True: [], False: []}
    for known in images_of(result):
        if known["form"] == "png" and "OPACITY" not in known["label"]:
            picture = np.asarray(Image.open(result.folder / known["path"]), dtype=np.float32)
            # The lower left lung field beside the heart, on the right of the image.
            widths["CARDIOMEGALY" in known["label"]].append(
                float(picture[140:180, 165:190].mean() / picture.mean())
            )
    assert np.mean(widths[True]) > np.mean(widths[False]) + 0.1


def test_flaws_and_findings_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--flaws, --findings and --exams exclude"):
        demo(tmp_path / "cohort", flaws=True, findings=True)


@pytest.mark.parametrize("kind", ["findings", "exams", None])
def test_an_ingest_of_the_whole_folder_does_not_list_the_truth_of_a_demo(
    tmp_path: Path, kind: str | None
) -> None:
    folder = demo(tmp_path / "cohort", patients=6, findings=kind == "findings", exams=kind == "exams").folder
    settings = IngestSettings(labels=folder / "labels.csv" if kind else None, multi_label=kind == "findings")

    def refused() -> dict[str, int]:
        return dry_run(Workspace(tmp_path / "study"), [folder], settings).quarantine

    assert refused() == {}
    (folder / "truth.json").write_text('{"images": []}')  # somebody's own
    assert sum(refused().values()) == 1
