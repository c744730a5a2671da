"""Bad input: each case ends as a row with its reason or as one clear error with its exit code."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.core.dataset_lock import dataset_lock
from medimg_cli.core.manifest import read_dataset, read_quarantine
from medimg_cli.core.workspace import Workspace


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


@pytest.fixture
def ingest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ingest:
    def call(*arguments: object, workspace: Path | None = None) -> Outcome:
        return Outcome(workspace or tmp_path / "work", capsys, *(str(argument) for argument in arguments))

    return call


def with_table(tmp_path: Path, content: str | bytes, ingest: Ingest, *more: str) -> Outcome:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ingest(flat(tmp_path / "raw"), "--labels", path, *more)


def test_two_labels_for_one_image_are_an_error_that_names_the_line(tmp_path: Path, ingest: Ingest) -> None:
    outcome = with_table(tmp_path, table([*labels(), "0.png,SICK"]), ingest)
    assert outcome.code == 3
    assert outcome.error.endswith("labels.csv line 10: 0.png is 'SICK' here and 'WELL' above")


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


def test_one_patient_for_training_alone_is_taken(tmp_path: Path, ingest: Ingest) -> None:
    lines = [f"{line},p1" for line in labels()]
    content = table(lines, header="file,label,patient")
    assert with_table(tmp_path, content, ingest, "--split", "1,0,0").result["splits"]["train"] == 8


def test_a_full_disk_leaves_the_earlier_data_set_whole(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = classes(tmp_path / "raw")
    assert ingest(raw).code == 0
    before = (tmp_path / "work" / "dataset" / "manifest.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    draw(raw / "SICK" / "new.png", 99)
    outcome = ingest(raw)
    assert outcome.code == 5
    assert "manifest.csv: No space left on device" in outcome.error
    assert (tmp_path / "work" / "dataset" / "manifest.csv").read_bytes() == before
    assert not list((tmp_path / "work" / "dataset").glob("*.tmp"))


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
    names = set(read_dataset(Workspace(tmp_path / "work")).rows["image_id"])
    assert {f"SICK/{name}" for name in odd} <= names
    assert outcome.result["reused"] == 12 + len(odd)


def test_the_same_name_in_two_classes_is_two_images(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    for number, name in enumerate(("SICK", "WELL")):
        draw(raw / name / "1.png", 50 + number)
    outcome = ingest(raw)
    assert (outcome.code, outcome.result["images"]) == (0, 14)
    assert read_dataset(Workspace(tmp_path / "work")).rows["image_id"].is_unique


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
    with dataset_lock(Workspace(tmp_path / "work")):
        outcome = ingest(raw)
    assert outcome.code == 5
    assert f"another medimg (process {os.getpid()}) is writing the data set" in outcome.error
    assert ingest(raw).code == 0


def test_bytes_that_are_no_image_are_rows_and_strict_says_so(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    stream = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(stream, "PNG")
    (raw / "SICK" / "cut.png").write_bytes(stream.getvalue()[:60])
    (raw / "SICK" / "empty.png").write_bytes(b"")
    (raw / "SICK" / "text.png").write_text("not a picture")
    outcome = ingest(raw, "--strict")
    assert outcome.code == 4
    assert set(outcome.reasons) == {"cut.png", "empty.png", "text.png"}


def test_a_folder_without_any_image_is_no_class_and_it_is_said(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    (raw / "docs").mkdir()
    (raw / "docs" / "LICENSE.txt").write_text("as you like")
    outcome = ingest(raw)
    assert (outcome.code, list(outcome.result["classes"])) == (0, ["SICK", "WELL"])
    assert list(outcome.reasons) == ["LICENSE.txt"]
    assert "warning: no class, as none of its files is an image: docs" in outcome.errors
    assert ingest(raw).result["reused"] == 12


def test_a_single_class_beside_a_folder_of_texts_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    draw(tmp_path / "raw" / "SICK" / "a.png", 1)
    (tmp_path / "raw" / "docs").mkdir()
    (tmp_path / "raw" / "docs" / "LICENSE.txt").write_text("as you like")
    outcome = ingest(tmp_path / "raw")
    assert (outcome.code, outcome.error) == (3, "only one class has images: 'SICK'")


def test_a_class_of_damaged_images_is_an_error(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    (raw / "ODD").mkdir()
    (raw / "ODD" / "x.png").write_bytes((raw / "SICK" / "p1_a.png").read_bytes()[:50])
    outcome = ingest(raw)
    assert (outcome.code, outcome.error) == (3, "class 'ODD' has no readable image")


def test_the_real_dicom_files_are_ingested_and_each_other_file_is_a_row(
    tmp_path: Path, ingest: Ingest, shared_data: Path
) -> None:
    outcome = ingest(shared_data / "dicom")
    rows = read_quarantine(Workspace(tmp_path / "work"))
    files = [path for path in (shared_data / "dicom").rglob("*") if path.is_file() and path.name[0] != "."]
    assert outcome.code == 0
    assert outcome.result["images"] + len(rows) == len(files)
    assert outcome.result["images"] >= 57
    assert not (rows["reason"] == "").any()


def test_deidentify_is_refused_with_a_way_out(tmp_path: Path, ingest: Ingest) -> None:
    outcome = ingest(classes(tmp_path / "raw"), "--deidentify")
    assert outcome.code == 2
    assert outcome.error.startswith("--deidentify: this version of medimg cannot")
    assert not (tmp_path / "work").exists()


def test_what_changed_is_in_the_json(tmp_path: Path, ingest: Ingest) -> None:
    raw = classes(tmp_path / "raw")
    first = ingest(raw).result
    assert (first["added"]["count"], first["reused"]) == (12, 0)
    (raw / "SICK" / "p1_a.png").unlink()
    draw(raw / "WELL" / "p0_a.png", 500)
    draw(raw / "WELL" / "new.png", 501)
    result = ingest(raw).result
    assert result["added"] == {"count": 1, "first": ["WELL/new.png"]}
    assert result["changed"] == {"count": 1, "first": ["WELL/p0_a.png"]}
    assert result["vanished"] == {"count": 1, "first": ["SICK/p1_a.png"]}
    assert result["reused"] == 10


@pytest.mark.parametrize("value", ["last", "-1", "1.5"])
def test_frames_of_another_kind_are_refused(tmp_path: Path, ingest: Ingest, value: str) -> None:
    outcome = ingest(classes(tmp_path / "raw"), "--frames", value)
    assert (outcome.code, outcome.error) == (2, f"ingest: --frames cannot be '{value}'")
