"""predict --dicom-out: an answer for every DICOM image, and a word for what has none."""

import json
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from medimg_cli.cli import predict as door
from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode, MachineError
from medimg_cli.inference.dicom_folder import _save
from medimg_cli.runs.run import Exams
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write
from tests.stages.made_up_model import judge

sr = pytest.importorskip("highdicom.sr", reason="highdicom is not installed: extra [dicom]")

Predict = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Let a model that nobody trained answer; return what runs the command and gives exit code and JSON."""

    def call(*arguments: str | Path, **changes: Any) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(door, "_opened", lambda *_, **__: (judge(**changes), None))
        monkeypatch.setattr(door, "_place", lambda *_: Path("made-up"))
        capsys.readouterr()
        code = run(["predict", *map(str, arguments), "--json", "-q", "-C", str(tmp_path)])
        return code, json.loads(capsys.readouterr().out)

    return call


def image(path: Path, level: int, number: int = 1, *, frames: int = 1, **elements: str) -> Path:
    pixels = np.full((frames, 8, 8) if frames > 1 else (8, 8), level, np.uint8)
    if frames > 1:
        pixels[-1] = 250
    uids = {
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "SOPInstanceUID": f"1.2.3.4.{number}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(dicom_image(pixels, **uids | {"PatientID": "P"} | elements), path)


def groups(folder: Path, entry: dict[str, str]) -> list[Any]:
    found: list[Any] = sr.srread(folder / entry["report"]).content.get_image_measurement_groups()
    return found


def meanings(group: Any) -> list[str]:
    return [str(one.value.meaning) for one in group.get_qualitative_evaluations()]


def test_every_dicom_image_has_the_answer_of_the_json_and_the_rest_a_reason(
    predicted: Predict, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    image(raw / "a.dcm", 250, 1)
    image(raw / "b.dcm", 20, 2)
    Image.new("L", (8, 8), 90).save(raw / "c.png")
    (raw / "d.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    code, found = predicted(raw, "--dicom-out", tmp_path / "out")
    assert code == ExitCode.PARTIAL  # d.dcm is unreadable, as without --dicom-out
    results = found["dicom_out"]
    assert [Path(one["of"]).name for one in results["written"]] == ["a.dcm", "b.dcm"]
    assert {Path(one["of"]).name: one["reason"] for one in results["skipped"]} == {
        "c.png": "it is no DICOM file",
        "d.dcm": "it could not be read",
    }
    for entry, row in zip(results["written"], found["predictions"], strict=False):
        read = {one.finding_type.meaning: one for one in groups(tmp_path / "out", entry)}
        assert {name: one.get_measurements()[0].value for name, one in read.items()} == row["probabilities"]
        present = [name for name, one in read.items() if "Present" in meanings(one)]
        assert present == [row["label"]]
        assert dcmread(tmp_path / "out" / entry["secondary_capture"]).StudyInstanceUID == "1.2.3"


def test_an_image_that_no_result_can_point_to_is_named_and_the_exit_code_says_so(
    predicted: Predict, tmp_path: Path
) -> None:
    code, found = predicted(
        image(tmp_path / "a.dcm", 90, StudyInstanceUID=""), "--dicom-out", tmp_path / "out"
    )
    assert (code, found["dicom_out"]["written"]) == (ExitCode.PARTIAL, [])
    assert "StudyInstanceUID is missing" in found["dicom_out"]["skipped"][0]["reason"]


def test_a_second_call_gives_the_same_objects_and_does_not_answer_the_first_ones(
    predicted: Predict, tmp_path: Path
) -> None:
    image(tmp_path / "raw/a.dcm", 250)
    first = predicted(tmp_path / "raw", "--dicom-out", tmp_path / "raw/out")[1]["dicom_out"]
    files = {path.name for path in (tmp_path / "raw/out").iterdir()}
    code, again = predicted(tmp_path / "raw", "--dicom-out", tmp_path / "raw/out")
    assert code == ExitCode.PARTIAL  # the report is no image
    assert again["dicom_out"]["written"] == first["written"]
    assert "it is a result of medimg itself" in [one["reason"] for one in again["dicom_out"]["skipped"]]
    assert {path.name for path in (tmp_path / "raw/out").iterdir()} == files


def test_frames_are_told_in_one_report_and_the_most_probably_positive_one_is_shown(
    predicted: Predict, tmp_path: Path
) -> None:
    source = image(tmp_path / "a.dcm", 20, frames=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1")
    _, found = predicted(source, "--dicom-out", tmp_path / "out")
    (entry,) = found["dicom_out"]["written"]
    read = [one for one in groups(tmp_path / "out", entry) if one.finding_type.meaning == "SPOT"]
    assert [list(one.source_images[0].referenced_frame_numbers) for one in read] == [[1], [2], [3]]
    values = [one.get_measurements()[0].value for one in read]
    assert values == [row["probabilities"]["SPOT"] for row in found["predictions"]]
    comments = str(dcmread(tmp_path / "out" / entry["secondary_capture"]).ImageComments)
    assert "SPOT: positive" in comments and "2 SPOT: negative" in comments


def test_an_exam_has_one_answer_that_names_all_its_images(predicted: Predict, tmp_path: Path) -> None:
    for number, level in enumerate((20, 250, 30), start=1):
        image(tmp_path / f"raw/{number}.dcm", level, number)
    by = Exams(source="StudyInstanceUID", pooling="max", why="", threshold=judge().card.threshold)
    code, found = predicted(tmp_path / "raw", "--dicom-out", tmp_path / "out", exams=by)
    (entry,) = found["dicom_out"]["written"]
    read = {one.finding_type.meaning: one for one in groups(tmp_path / "out", entry)}
    assert (code, read["SPOT"].get_measurements()[0].value) == (0, found["exams"][0]["probabilities"]["SPOT"])
    named = [one.referenced_sop_instance_uid for one in read["SPOT"].source_images]
    assert named == ["1.2.3.4.2", "1.2.3.4.1", "1.2.3.4.3"]  # the one that drove the answer first


def test_members_of_an_archive_and_an_image_that_is_named_twice_have_one_answer_each(
    predicted: Predict, tmp_path: Path
) -> None:
    first = image(tmp_path / "a.dcm", 250, 1)
    cine = image(tmp_path / "b.dcm", 20, 2, frames=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(cine, "ward/b.dcm")
    _, found = predicted(tmp_path / "set.zip", first, first, "--dicom-out", tmp_path / "out")
    written = found["dicom_out"]["written"]
    assert [Path(one["of"]).name for one in written] == ["b.dcm", "a.dcm"]
    assert [len(groups(tmp_path / "out", one)) for one in written] == [4, 2]


def test_the_heat_map_that_is_asked_for_stands_in_the_picture(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.asarray(Image.open(trained.absolute(read_dataset(trained).usable["path"].iloc[0])))
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    source = write(dicom_image(pixels, **uids), tmp_path / "a.dcm")
    wide = []
    for more in ((), ("--explain", str(tmp_path / "maps"))):
        capsys.readouterr()
        call = ("predict", str(source), "--dicom-out", str(tmp_path / "out"), "--json", "-q", *more)
        assert run([*call, "-C", str(trained.root)]) == 0
        found = json.loads(capsys.readouterr().out)
        (entry,) = found["dicom_out"]["written"]
        wide.append(dcmread(tmp_path / "out" / entry["secondary_capture"]).Columns)
    assert found["predictions"][0]["status"] == "ok" and wide[1] > wide[0] + 600
    assert len(list((tmp_path / "out").iterdir())) == 4  # a picture without the map is another object


def test_the_settings_say_what_a_class_is_in_a_terminology_and_a_code_of_no_known_one_is_said(
    predicted: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = image(tmp_path / "a.dcm", 250)
    (tmp_path / "medimg.yaml").write_text(
        "labels:\n  SPOT: {code: '233604007', system: SNOMED CT}\n  CLEAR: {code: N1, system: our own list}\n"
    )
    _, found = predicted(source, "--dicom-out", tmp_path / "out")
    read = [one.finding_type for one in groups(tmp_path / "out", found["dicom_out"]["written"][0])]
    assert [(one.value, one.scheme_designator) for one in read] == [
        ("233604007", "SCT"),
        ("CLEAR", "99MEDIMG"),
    ]
    assert run(["predict", str(source), "--dicom-out", str(tmp_path / "out"), "-C", str(tmp_path)]) == 0
    assert "the code of CLEAR is not used" in " ".join(capsys.readouterr().err.split())


def test_what_stands_in_the_folder_under_the_name_of_a_result_is_not_overwritten(
    predicted: Predict, tmp_path: Path
) -> None:
    source = image(tmp_path / "a.dcm", 250)
    entry = predicted(source, "--dicom-out", tmp_path / "out")[1]["dicom_out"]["written"][0]
    there = tmp_path / "out" / entry["report"]
    there.write_bytes(source.read_bytes())
    assert (
        run(["predict", str(source), "--dicom-out", str(tmp_path / "out"), "-q", "-C", str(tmp_path)])
        == ExitCode.USAGE
    )
    assert there.read_bytes() == source.read_bytes()
    assert (
        run(["predict", str(source), "--dicom-out", str(source), "-q", "-C", str(tmp_path)]) == ExitCode.USAGE
    )


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    result = dicom_image(np.zeros((64, 64), np.uint8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(MachineError) as failed:
            _save(result, tmp_path / "a.dcm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.what == f"cannot write {tmp_path / 'a.dcm'}: File too large"
    assert list(tmp_path.iterdir()) == []


def test_without_its_library_it_says_what_to_install_before_it_predicts(
    predicted: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = image(tmp_path / "a.dcm", 250)
    assert predicted(source)[0] == 0
    monkeypatch.setitem(sys.modules, "highdicom.sr", None)
    assert (
        run(["predict", str(source), "--dicom-out", str(tmp_path / "out"), "-C", str(tmp_path)])
        == ExitCode.MACHINE
    )
    told = capsys.readouterr()
    assert "medimg[dicom]" in told.err and told.out == "" and not (tmp_path / "out").exists()
