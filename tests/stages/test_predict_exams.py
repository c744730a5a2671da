"""predict: several images as one exam."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.errors import UsageError
from medimg_cli.inference.exam_groups import exam_groups
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.runs.run import Exams, Threshold
from medimg_cli.stages.predict import predict
from medimg_cli.workspace.settings import PredictSettings
from tests.images.dicom_file import dicom_image, write
from tests.stages.made_up_model import judge

THRESHOLD = Threshold(value=0.9, rule="given", split="", achieved_recall=None, achieved_specificity=None)
BY_MAX = Exams(source="folder", pooling="max", why="", threshold=THRESHOLD)


def draw(folder: Path, **levels: int) -> Path:
    """Write a picture for each name `exam_image` = level."""
    for name, level in levels.items():
        path = folder / f"{name.replace('_', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), level).save(path)
    return folder


def answered(
    folder: Path,
    asked: str | None = None,
    *,
    by: Exams | None = BY_MAX,
    out: Path | None = None,
    resume: bool = False,
) -> dict[str, ExamAnswer]:
    opened = judge(exams=by)
    groups = exam_groups(opened.card, asked)
    result = predict(opened, [folder], PredictSettings(), exams=groups, out=out, resume=resume)
    return {Path(each.exam_id).name: each for each in result.exams}


def test_an_exam_is_positive_where_its_brightest_image_reaches_the_threshold_of_exams(tmp_path: Path) -> None:
    found = answered(draw(tmp_path / "raw", a_1=60, a_2=250, b_1=150, b_2=140))
    assert (found["a"].decision, found["a"].label, found["a"].images) == ("positive", "SPOT", 2)
    assert found["a"].driven_by == str(tmp_path / "raw/a/2.png")
    assert (found["b"].decision, found["b"].label) == ("negative", "CLEAR")


def test_a_negative_of_an_exam_that_was_not_read_whole_is_for_a_person(tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw", a_1=60, b_1=250, c_1=60)
    for name in ("a", "b"):
        (raw / name / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (raw / "c" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    found = answered(raw)
    assert (found["a"].decision, found["a"].judged, found["a"].images) == ("refer", 1, 2)
    assert found["b"].decision == "positive"
    assert (found["c"].status, found["c"].decision, found["c"].driven_by) == ("unreadable", "refer", None)


def test_exams_stand_in_a_file_of_their_own_and_stay_the_same_when_gone_on_with(tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw", a_1=60, a_2=250, b_1=150)
    out = tmp_path / "rows.csv"
    answered(raw, out=out)
    first = (tmp_path / "rows-exams.csv").read_bytes()
    assert pd.read_csv(tmp_path / "rows-exams.csv")["prob_SPOT"].between(0, 1).all()
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:-1]))
    answered(raw, out=out, resume=True)
    assert (tmp_path / "rows-exams.csv").read_bytes() == first


def test_a_table_says_which_images_are_one_exam(tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw", a_1=60, a_2=250, b_1=150, b_2=10)
    (tmp_path / "exams.csv").write_text("file,visit\na/1.png,x\na/2.png,y\nb/1.png,y\n")
    found = answered(raw, f"{tmp_path / 'exams.csv'}:visit")
    assert {name: each.images for name, each in found.items()} == {"x": 1, "y": 2, "2.png": 1}


@pytest.mark.parametrize(("asked", "count"), [("study", 2), ("series", 3), ("patient", 1)])
def test_headers_say_which_images_are_one_exam(tmp_path: Path, asked: str, count: int) -> None:
    for number, (study, series) in enumerate((("1", "1.1"), ("1", "1.2"), ("2", "2.1"), ("2", "2.1"))):
        uids = {"StudyInstanceUID": f"1.2.3.{study}", "SeriesInstanceUID": f"1.2.3.{series}"}
        path = tmp_path / "raw" / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        write(dicom_image(np.full((8, 8), 40 * number, "u1"), PatientID="P", **uids), path)
    out = tmp_path / "rows.csv"
    found = answered(tmp_path / "raw", asked, out=out)
    assert len(found) == count and sum(each.images for each in found.values()) == 4
    assert len(answered(tmp_path / "raw", asked, out=out, resume=True)) == count


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw", a_1=60)
    with pytest.raises(UsageError, match="trained without exams"):
        answered(raw, "folder", by=None)
    with pytest.raises(UsageError, match="no way to tell exams"):
        answered(raw, "visit")
    of_column = BY_MAX.model_copy(update={"source": "column visit"})
    assert exam_groups(judge(exams=of_column).card, None) is None
    assert json.dumps(answered(raw)["a"].entry())
