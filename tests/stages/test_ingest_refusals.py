"""What ingest refuses or warns of, and what to do about it."""

from pathlib import Path
from typing import Any

import pytest

from medimg_cli.errors import DataError, MedimgError, UsageError
from tests.stages.ingest_cohort import cohort, draw, run


@pytest.mark.parametrize(
    ("settings", "kind", "what", "hint"),
    [
        ({"positive": "sick"}, UsageError, "'sick' is not one of the classes", "SICK"),
        ({"patient_regex": "(p"}, UsageError, "--patient-regex '(p'", "brackets"),
        ({"patient_regex": r"p\d"}, UsageError, "has no group", "brackets"),
        ({"use_split_col": "fold"}, UsageError, "--use-split-col", "--labels"),
        ({"layout": "npz"}, DataError, "fits no layout", "--labels"),
        ({"labels": Path("nowhere.csv")}, DataError, "nowhere.csv: no such file", "name"),
    ],
)
def test_wrong_settings_are_refused_with_a_way_out(
    tmp_path: Path, settings: dict[str, Any], kind: type[MedimgError], what: str, hint: str
) -> None:
    with pytest.raises(kind) as caught:
        run(tmp_path, cohort(tmp_path / "raw"), **settings)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert not (tmp_path / "study").exists()


def test_one_class_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "raw" / "SICK" / "a.png", 0)
    with pytest.raises(DataError, match="only one class: 'SICK'") as error:
        run(tmp_path, tmp_path / "raw")
    assert "medimg predict" in error.value.hint  # also said of images to evaluate on


def test_a_class_without_readable_images_is_named(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "EMPTY").mkdir()
    with pytest.raises(DataError, match="class 'EMPTY' has no readable image"):
        run(tmp_path, raw)


def test_nothing_readable_is_refused_with_the_commonest_reason(tmp_path: Path) -> None:
    for label in "AB":
        (tmp_path / "raw" / label).mkdir(parents=True)
        (tmp_path / "raw" / label / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image could be read: the file is empty \(2 of 2 files\)"):
        run(tmp_path, tmp_path / "raw")


def test_an_empty_source_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="an empty folder"):
        run(tmp_path, tmp_path / "raw")
    with pytest.raises(DataError, match="gone does not exist"):
        run(tmp_path, tmp_path / "gone")


def test_classes_that_differ_in_case_only_are_warned_about(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    draw(raw / "Normal" / "x.png", 999)
    result, _ = run(tmp_path, raw)
    assert any("upper and lower case" in note for note in result.notes)
