"""`ingest --dry-run` says what an ingest would do and writes nothing; implausible classes stop an ingest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medimg_cli.cli.app import app
from medimg_cli.errors import DataError, UsageError
from medimg_cli.stages.ingest import dry_run, ingest
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.images.dicom_file import dicom_image, write
from tests.stages.ingest_cohort import cohort, draw, run


def preview(tmp_path: Path, *sources: Path, **settings: Any) -> Any:
    return dry_run(Workspace(tmp_path / "study"), sources, IngestSettings(**settings))


def test_a_dry_run_tells_what_the_ingest_then_does_and_writes_nothing(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "SICK" / "notes.txt").write_text("no image")
    (raw / "SICK" / "empty.png").write_bytes(b"")
    (raw / "about.md").write_text("about")
    told = preview(tmp_path, raw, patient_regex=r"(p\d+)")
    assert not (tmp_path / "study").exists()
    result, _ = run(tmp_path, raw, patient_regex=r"(p\d+)")
    assert {name: found.count for name, found in told.classes.items()} == result.classes
    assert (told.patients, told.splits) == (result.patients, result.splits)
    assert told.quarantine == result.quarantine
    assert sum(result.quarantine.values()) == result.quarantined == 3
    assert told.layout.name == result.layout == "folders"
    assert len(told.classes["SICK"].examples) == 3


def test_frames_that_are_left_out_or_not_counted_are_told(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    pictures = [Image.fromarray(np.full((4, 4), 60 * n, dtype=np.uint8)) for n in range(4)]
    pictures[0].save(raw / "SICK" / "film.gif", save_all=True, append_images=pictures[1:])
    notes: list[str] = []

    class Told(SilentProgress):
        def note(self, message: str) -> None:
            notes.extend([message] if "frames or slices" in message else [])

    for settings in ({}, {"frames": "all"}):
        dry_run(Workspace(tmp_path / "study"), [raw], IngestSettings.model_validate(settings), Told())
    number = len(list(raw.rglob("*.*")))
    assert notes == [
        f"1 of {number} files read hold several frames or slices; one of each is the image (--frames all takes all)",
        f"1 of {number} files read hold several frames or slices, which a dry run does not count",
    ]
    assert notes[0] in run(tmp_path, raw)[0].notes


def test_columns_and_the_source_of_labels_are_told(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    lines = [
        f"{path.name},{path.parent.name},{path.name[:3]},{n % 7}" for n, path in enumerate(raw.rglob("*.png"))
    ]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["file,dx,patient,age", *lines]))
    told = preview(tmp_path, raw, labels=table)
    assert told.label_source == "column dx of t.csv"
    assert {column.name: column.taken_for for column in told.columns} == {
        "file": "image",
        "dx": "label",
        "patient": "patient",
        "age": "carried along",
    }
    assert set(told.columns[1].values) == {"SICK", "normal"}
    assert told.patients == 12


def test_json_of_a_dry_run_has_its_keys_and_patients_are_null_where_unknown(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "labels.csv").write_text("a,b\n")
    call = ["ingest", str(raw), "--dry-run", "--json", "-q", "-C", str(tmp_path / "w")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["patients"] is None
    assert told["layout"]["name"] == "folders"
    assert [other["name"] for other in told["layout"]["others"]] == ["csv"]
    assert {"classes", "label_source", "columns", "splits", "quarantine", "questions"} <= told.keys()
    assert not (tmp_path / "w").exists()
    drawn = CliRunner().invoke(app, [part for part in call if part != "--json"])
    assert "patients: not known" in drawn.output


def test_implausible_classes_stop_an_ingest_which_leaves_nothing_until_yes(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for case in range(30):
        draw(raw / f"case{case:02d}" / "a.png", case)
    (raw / "labels.csv").write_text("a,b\n")
    for extra in ({}, {"copy_images": True}, {"deidentify": True}):
        with pytest.raises(UsageError, match="look like cases or patients") as caught:
            run(tmp_path, raw, **extra)
        assert f"--labels {raw / 'labels.csv'}" in caught.value.hint
        assert "--yes" in caught.value.hint
        assert not (tmp_path / "study").exists()
    told = preview(tmp_path, raw)
    assert "look like cases" in told.questions[0].question
    result, _ = run(tmp_path, raw, assume_yes=True)
    assert len(result.classes) == 30


def test_one_class_is_a_question_of_a_dry_run_and_an_error_of_an_ingest(tmp_path: Path) -> None:
    draw(tmp_path / "raw" / "SICK" / "a.png", 0)
    assert preview(tmp_path, tmp_path / "raw").questions[0].question == "only one class: 'SICK'"
    with pytest.raises(DataError, match="only one class"):
        run(tmp_path, tmp_path / "raw")


def test_split_folders_without_class_folders_ask_for_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw(tmp_path / "raw" / split / "a.png", 0)
    with pytest.raises(DataError, match="stands in no class folder") as caught:
        run(tmp_path, tmp_path / "raw")
    assert "--labels" in caught.value.hint


def test_an_ingest_that_failed_half_way_does_not_change_the_next(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "EMPTY").mkdir()
    for extra in ({}, {"copy_images": True}):
        with pytest.raises(DataError, match="'EMPTY' has no readable image"):
            run(tmp_path, raw, **extra)
        assert not (tmp_path / "study").exists()
    (raw / "EMPTY").rmdir()
    workspace = Workspace(tmp_path / "study")
    workspace.manifest_path.parent.mkdir(parents=True)
    workspace.manifest_path.write_text("image_id,path\n")  # killed before dataset.json was written
    assert ingest(workspace, [raw], IngestSettings()).first


@pytest.mark.parametrize("said", [("--layout", "folders"), ("--positive", "1998"), ("--yes",)])
def test_who_says_what_the_folders_are_is_not_asked(tmp_path: Path, said: tuple[str, ...]) -> None:
    for year in ("1997", "1998"):
        for number in range(30):
            pixels = np.random.default_rng(number + int(year)).integers(0, 255, (16, 16), dtype=np.uint8)
            target = tmp_path / "raw" / year / f"image{number:02d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)
    assert medimg(tmp_path / "asked", "ingest", str(tmp_path / "raw")) == 2
    assert not (tmp_path / "asked" / "dataset" / "manifest.csv").exists()
    assert medimg(tmp_path / "said", "ingest", str(tmp_path / "raw"), *said) == 0


def test_a_class_without_an_image_is_a_question_of_a_dry_run_that_yes_does_not_answer(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "unsorted").mkdir()
    told = CliRunner().invoke(app, ["ingest", str(raw), "--dry-run", "-q", "-C", str(tmp_path / "w")]).stdout
    assert "? class 'unsorted' has no readable image" in told
    assert "--yes" not in told
    with pytest.raises(DataError, match="class 'unsorted' has no readable image"):
        run(tmp_path, raw)


def test_every_spelling_of_a_class_gets_its_map(tmp_path: Path) -> None:
    for number, name in enumerate(("Benign", "BENIGN", "benign", "malignant")):
        for image in range(4):
            draw(tmp_path / "raw" / name / f"{name}{image}.png", 10 * number + image)
    result, _ = run(tmp_path, tmp_path / "raw")
    said = next(note for note in result.notes if "upper and lower case" in note)
    mapping = dict(part.split()[0].split("=") for part in said.split("--map ")[1:])
    merged, _ = run(tmp_path, tmp_path / "raw", map_classes=mapping, fresh=True)
    assert sorted(merged.classes.values()) == [4, 12]


@pytest.mark.parametrize("dry", [True, False])
def test_the_spelling_of_most_images_is_the_one_to_keep(tmp_path: Path, dry: bool) -> None:
    for number, (name, images) in enumerate((("Benign", 1), ("benign", 6), ("malignant", 4))):
        for image in range(images):
            draw(tmp_path / "raw" / name / f"{name}{image}.png", 10 * number + image)
    call = ["ingest", str(tmp_path / "raw"), *(["--dry-run"] * dry), "-C", str(tmp_path / "w")]
    assert "--map Benign=benign makes them one" in " ".join(CliRunner().invoke(app, call).output.split())


def test_the_layout_of_dicom_is_offered_where_there_is_dicom(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    table = tmp_path / "t.csv"

    def offered() -> set[str]:
        images = [path for path in sorted(raw.rglob("*")) if path.is_file()]
        rows = [f"{path.name},{path.parent.name}" for path in images]
        table.write_text("\n".join(["file,dx", *rows]) + "\n")
        return {other.name for other in preview(tmp_path, raw, labels=table).others}

    assert "dicom" not in offered()
    write(dicom_image(np.arange(48, dtype=np.uint8).reshape(6, 8)), raw / "SICK" / "scan.dcm")
    assert "dicom" in offered()


def test_folders_that_are_patients_by_their_headers_too_ask_for_labels_in_a_dry_run(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "raw" / f"DIR{number // 3:03d}" / f"IM{number:06d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.arange(48, dtype=np.uint8).reshape(6, 8) + number
        write(dicom_image(pixels, PatientID=f"P{number // 3}"), path)
    (question,) = preview(tmp_path, tmp_path / "raw").questions
    assert (question.option, "identifiers" in question.question) == ("--labels FILE", True)
    (question,) = preview(tmp_path, tmp_path / "raw", assume_yes=True).questions
    assert "every class is one patient" in question.question
