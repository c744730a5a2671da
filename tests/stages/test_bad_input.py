"""Bad input: each case ends as a row with its reason or as one clear error with its exit code."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.workspace import Workspace
from tests.stages.bad_input import Ingest, classes, draw, labels, table, with_table


def test_two_labels_for_one_image_are_an_error_that_names_the_line(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([*labels(), "0.png,SICK"]), ingest)
    assert outcome.code == 3
    assert outcome.error.endswith("labels.csv row 10: 0.png is 'SICK' here and 'WELL' in row 2")


def test_a_label_for_a_missing_file_is_a_row(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([*labels(), "gone.png,SICK"]), ingest)
    assert (outcome.code, outcome.reasons) == (0, {"gone.png": "file not found"})


def test_an_image_without_label_is_a_row(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table(labels(7)), ingest, "--strict")
    assert (outcome.code, outcome.reasons) == (4, {"7.png": "not in the table of labels"})


def test_an_empty_label_is_a_row(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([*labels(7), "7.png,"]), ingest)
    assert (outcome.code, outcome.reasons) == (0, {"7.png": "no label in the table"})


def test_repeated_rows_count_once_and_it_is_said(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([*labels(), *labels(2)]), ingest)
    assert (outcome.code, outcome.result["images"], outcome.reasons) == (0, 8, {})
    assert any("2 rows of labels.csv repeat an image" in line for line in outcome.errors)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", "\t").encode("utf-16"),
    ],
)
def test_byte_order_marks_semicolons_and_windows_line_ends_do_not_matter(
    tmp_path: Path, ingest: Ingest, encode: Callable[[str], bytes]
) -> None:
    outcome = with_table(tmp_path, encode(table(labels())), ingest)
    assert (outcome.code, outcome.result["classes"]) == (0, {"SICK": 4, "WELL": 4})


def test_one_class_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([f"{n}.png,SICK" for n in range(8)]), ingest)
    assert (outcome.code, outcome.error) == (3, "only one class: 'SICK'")


def test_a_class_that_is_missing_in_val_and_test_is_warned_about(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table(["0.png,RARE", *labels()[1:]]), ingest)
    assert outcome.code == 0
    assert "warning: the val split has no image of RARE" in outcome.errors
    assert "warning: the test split has no image of RARE" in outcome.errors


def test_one_patient_only_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    lines = [f"{line},p1" for line in labels()]
    outcome = with_table(tmp_path, table(lines, header="file,label,patient"), ingest)
    assert (outcome.code, outcome.error) == (3, "all 8 images belong to one patient, 'p1'")


def test_one_patient_a_class_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    outcome = ingest(classes(tmp_path / "raw"), "--patient-regex", "^(.)")
    assert outcome.code == 3
    assert outcome.error.startswith("every class is one patient: all images of '")


def test_one_patient_for_training_alone_is_taken(tmp_path: Path, ingest: Ingest) -> None:
    lines = [f"{line},p1" for line in labels()]
    content = table(lines, header="file,label,patient")
    assert with_table(tmp_path, content, ingest, "--split", "1,0,0").result["splits"]["train"] == 8


def test_a_full_disk_leaves_the_earlier_data_set_whole(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = classes(tmp_path / "raw")
    assert ingest(raw).code == 0
    before = (tmp_path / "study" / "dataset" / "manifest.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    draw(raw / "SICK" / "new.png", 99)
    outcome = ingest(raw)
    assert outcome.code == 5
    assert "manifest.csv: No space left on device" in outcome.error
    assert (tmp_path / "study" / "dataset" / "manifest.csv").read_bytes() == before
    assert not list((tmp_path / "study" / "dataset").glob("*.tmp"))


def test_a_workspace_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = classes(tmp_path / "raw")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    # The tests may run as root, whom no mode of a folder keeps out.
    monkeypatch.setattr(Path, "mkdir", refused)
    outcome = ingest(raw)
    assert outcome.code == 5
    assert outcome.error.startswith("cannot write ")
    assert outcome.error.lower().endswith("permission denied")
    assert not any("reading images" in line for line in outcome.errors)


def test_a_source_inside_the_workspace_does_not_read_what_medimg_wrote(
    tmp_path: Path, ingest: Ingest
) -> None:
    classes(tmp_path / "study")
    (tmp_path / "study" / "medimg.yaml").write_text("ingest: {seed: 1}\n")
    for _ in range(2):
        outcome = ingest(tmp_path / "study", workspace=tmp_path / "study")
        assert (outcome.code, outcome.result["images"], outcome.reasons) == (0, 12, {})


def test_a_link_that_leads_round_in_circles_is_a_row(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    (raw / "SICK" / "loop").symlink_to(raw)
    (raw / "SICK" / "gone.png").symlink_to(tmp_path / "nowhere")
    (raw / "SICK" / "self.png").symlink_to(raw / "SICK" / "self.png")
    outcome = ingest(raw)
    assert (outcome.code, outcome.result["images"]) == (0, 12)
    assert outcome.reasons == {
        "loop": "a link to a folder that was read already",
        "gone.png": "a broken link",
        "self.png": "cannot be followed: too many levels of symbolic links",
    }


def test_odd_names_are_read_and_one_that_is_no_text_is_a_row(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    odd = ["a b.png", "line\nbreak.png", 'quote".png', "comma,.png", "ü#1.png", "x.zip#y.png"]
    for number, name in enumerate(odd):
        draw(raw / "SICK" / name, 100 + number)
    (Path(os.fsdecode(os.fsencode(raw / "SICK") + b"/\xff.png"))).write_bytes(b"x")
    for _ in range(2):
        outcome = ingest(raw)
        assert (outcome.code, outcome.result["images"]) == (0, 12 + len(odd))
        assert outcome.reasons == {"\N{REPLACEMENT CHARACTER}.png": "the file name is not valid UTF-8"}
    names = set(read_dataset(Workspace(tmp_path / "study")).rows["image_id"])
    assert {f"SICK/{name}" for name in odd} <= names
    assert outcome.result["reused"] == 12 + len(odd)


def test_the_same_name_in_two_classes_is_two_images(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    for number, name in enumerate(("SICK", "WELL")):
        draw(raw / name / "1.png", 50 + number)
    outcome = ingest(raw)
    assert (outcome.code, outcome.result["images"]) == (0, 14)
    assert read_dataset(Workspace(tmp_path / "study")).rows["image_id"].is_unique


def test_a_folder_that_may_not_be_read_is_a_row(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = classes(tmp_path / "raw")
    draw(raw / "SICK" / "locked" / "x.png", 70)
    scandir = os.scandir

    def scan(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, os.strerror(13))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    outcome = ingest(raw)
    assert (outcome.code, outcome.reasons) == (0, {"locked": "folder: permission denied"})


def test_two_ingests_at_once_are_one_and_an_error(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    with dataset_lock(Workspace(tmp_path / "study")):
        outcome = ingest(raw)
    assert outcome.code == 5
    assert f"another medimg (process {os.getpid()}) is writing the data set" in outcome.error
    assert ingest(raw).code == 0
