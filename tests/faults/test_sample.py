"""A sample of the proofs in `fuzz`, `damage` and `kills`, which are run by hand for minutes, and what they found."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, RLELossless

from medimg_cli.cli.app import run
from medimg_cli.errors import DataError, ExitCode, RunError
from medimg_cli.evaluation.evaluation import read_evaluation
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.runs.run_folders import find_run
from medimg_cli.runs.weights_origin import weights_at_hand
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.spreadsheets import read_spreadsheet
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.dataset.layouts.workbook import write_xlsx
from tests.faults import damage, fuzz, kills
from tests.images.dicom_file import dicom_image, write

SEED = 7


@pytest.mark.parametrize("target", [name for name in fuzz.targets(None) if name not in ("xlsx", "http")])
def test_mutated_files_are_read_or_refused(target: str, tmp_path: Path) -> None:
    files, opens = fuzz.targets(None)[target]
    function, path = opens(), tmp_path / "file"
    until = time.monotonic() + 0.25
    number = SEED * 1_000_000
    while time.monotonic() < until:
        path.write_bytes(fuzz.content_of(files, target, number))
        function(path)
        number += 1


@pytest.fixture
def study(trained: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the trained workspace that a test may damage."""
    shutil.copytree(trained.root, tmp_path / "study")
    return Workspace(tmp_path / "study")


def test_a_panic_of_a_decoder_is_a_reason(tmp_path: Path) -> None:
    dataset = dicom_image(np.arange(40 * 36, dtype=np.uint16).reshape(40, 36))
    dataset.compress(RLELossless)
    frame = bytearray(dataset.PixelData)
    place = frame.index((2).to_bytes(4, "little") + (64).to_bytes(4, "little"))
    frame[place + 64 :] = b"\x01\x02" * (
        (len(frame) - place - 64) // 2
    )  # other runs than the header's size asks for
    dataset.PixelData = bytes(frame)
    path = write(dataset, tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage):
        read_image(str(path))


def test_whatever_a_decoder_in_rust_does_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def decode(*_: object, **__: object) -> None:
        raise panic("index out of bounds: the len is 2880 but the index is 2880")

    monkeypatch.setattr("medimg_cli.images.dicom.pixels.pixel_array", decode)
    path = write(dicom_image(np.zeros((8, 8), np.uint8)), tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage, match="pixels damaged"):
        read_image(str(path))


def test_a_workbook_with_a_damaged_sheet_is_refused(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", {"labels": [["image", "label"], ["a.png", "X"]]})
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    while not content[directory + 46 :].startswith(b"xl/worksheets/sheet1.xml"):
        directory = content.index(b"PK\x01\x02", directory + 4)
    content[directory + 16] ^= 1  # the CRC-32 of the sheet in the central directory
    path.write_bytes(content)
    with pytest.raises(DataError, match="no workbook that can be read"):
        read_spreadsheet(path, is_name=lambda cell: cell in ("image", "label"))


def test_a_jpeg_ls_frame_that_ends_within_its_first_samples_is_refused_at_once(tmp_path: Path) -> None:
    dataset = dicom_image(np.zeros((40, 36), np.uint16))
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    stream = bytes.fromhex(
        "ffd8fff7000b100028002401011100fff8000d01ffff0012004301140040ffda000801010000000080"
    )
    dataset.PixelData = encapsulate([stream], has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    path = write(dataset, tmp_path / "a.dcm")
    began = time.monotonic()
    with pytest.raises(UnreadableImage):
        read_image(str(path))
    assert time.monotonic() - began < 20


def test_figures_that_are_not_as_they_were_written_are_made_again_and_said(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = find_run(study, "first")
    path = first.metrics_path("test")
    before = read_evaluation(first, "test")
    content = json.loads(path.read_text())
    content["metrics"]["recall"]["value"] = 0.123
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert medimg(study.root, "runs") == ExitCode.DONE
    assert "0.123" not in capsys.readouterr().out
    assert run(["evaluate", "first", "-C", str(study.root)]) == ExitCode.DONE
    assert "not as medimg wrote it" in capsys.readouterr().err
    assert read_evaluation(first, "test") == before


def change_a_digit(path: Path, before: str) -> None:
    """Change the first digit behind `before` that leaves the file valid."""
    content = path.read_text()
    place = content.index("0.", content.index(before)) + 2
    path.write_text(f"{content[:place]}{'5' if content[place] != '5' else '4'}{content[place + 1 :]}")


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "raw", "--run", "first"],
        ["evaluate", "first"],
        ["report", "first", "--out", "new.html"],
        ["bundle", "first", "--out", "new.zip"],
        ["export", "first", "--out", "new.onnx"],
        ["serve", "first", "--port", "0"],
    ],
    ids=lambda command: str(command[0]),
)
def test_a_changed_digit_of_a_model_card_is_never_believed(
    study: Workspace, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.root)
    change_a_digit(find_run(study, "first").card_path, '"threshold"')
    assert medimg(study.root, *command) == ExitCode.RUN
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert "model.json is not as medimg wrote it" in first
    assert second.startswith("hint: ")


def test_a_card_of_an_earlier_version_has_no_seal_and_is_read_with_a_word(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = find_run(study, "first").card_path
    card = json.loads(path.read_text())
    for name in ("seal", "tuning_sha256"):
        del card[name]
    path.write_text(json.dumps(card))
    image = next((study.root / "raw" / "SPOT").iterdir())
    assert run(["predict", str(image), "--run", "first", "-C", str(study.root)]) == ExitCode.DONE
    assert "has no seal" in capsys.readouterr().err
    assert medimg(study.root, "evaluate", "first") == ExitCode.DONE


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("runs/first/run.json", ExitCode.DONE, "run.json: version: Input should be 1"),
        ("runs/first/model.json", ExitCode.DONE, "model.json: version: Input should be 1"),
        ("runs/first/metrics-test.json", ExitCode.DONE, '"problem": "metrics-test.json cannot'),
        ("dataset/dataset.json", ExitCode.DATA, "dataset.json: version: Input should be 1"),
    ],
)
def test_what_a_newer_medimg_wrote_is_not_read_as_if_it_were_of_this_one(
    name: str, code: ExitCode, says: str, study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study.root / name
    path.write_bytes(damage.newer(path.read_bytes(), random.Random(0)))
    command = "runs" if name.startswith("runs") else "label-audit"
    assert medimg(study.root, command, "--json") == code
    said = capsys.readouterr()
    assert says in (said.out if code == ExitCode.DONE else said.err)


def test_changed_answers_to_validation_choose_no_threshold(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = find_run(study, "first")
    change_a_digit(first.predictions_path("val"), "ok,")
    assert medimg(study.root, "evaluate", "first", "--target-recall", "0.7") == ExitCode.RUN
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert "predictions-val.csv is not as medimg wrote it" in error
    assert hint.startswith("hint: ")


def test_changed_answers_to_test_are_made_again(study: Workspace) -> None:
    first = find_run(study, "first")
    path = first.predictions_path("test")
    before = path.read_bytes()
    change_a_digit(path, "ok,")
    assert medimg(study.root, "report", "first", "--out", str(study.root / "new.html")) == ExitCode.DONE
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 99}', "[" * 5000])
def test_figures_that_cannot_be_read_are_made_again(study: Workspace, content: str) -> None:
    first = find_run(study, "first")
    before = read_evaluation(first, "test")
    first.metrics_path("test").write_text(content)
    assert medimg(study.root, "evaluate", "first") == ExitCode.DONE
    assert read_evaluation(first, "test") == before


@pytest.mark.parametrize("name", ["recipe.json", "index.csv", "pixels.npy"])
def test_a_damaged_cache_is_made_again_and_said(
    study: Workspace, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(study.cache_dir)
    again = ["preprocess", "--size", "16", "-C", str(study.root)]
    assert run(again) == ExitCode.DONE
    (folder,) = (path for path in study.cache_dir.iterdir() if path.is_dir())
    pixels = np.load(folder / "pixels.npy")
    (folder / name).write_bytes(b"" if name == "pixels.npy" else os.urandom(64))
    capsys.readouterr()
    assert run(again) == ExitCode.DONE
    assert "decoded again" in capsys.readouterr().err
    assert np.array_equal(np.load(folder / "pixels.npy"), pixels)


def test_mutations_are_the_same_in_every_process() -> None:
    assert fuzz.mutated(b"abcdef" * 99, [b"xyz"], random.Random("a/1")) == fuzz.mutated(
        b"abcdef" * 99, [b"xyz"], random.Random("a/1")
    )


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "/x/y"),
        OSError(5, "Input/output error", "/x/y"),
        IsADirectoryError(21, "Is a directory", "/x/y"),
        MemoryError(),
    ],
)
def test_what_the_machine_refuses_is_no_bug(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("medimg_cli.cli.app.app", refuse)
    assert medimg(tmp_path, "runs") == ExitCode.MACHINE
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")


def test_weights_that_may_not_be_looked_at_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert weights_at_hand(tmp_path) is None


def test_a_demo_that_was_stopped_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort, whole = tmp_path / "cohort", tmp_path / "whole"
    with monkeypatch.context() as patched:
        patched.setattr("medimg_cli.stages.demo.tracked", _interrupt)
        assert run(["demo", str(cohort), "--patients", "4"]) == ExitCode.INTERRUPTED
    (cohort / "images" / "NORMAL").mkdir(parents=True)
    (cohort / "images" / "NORMAL" / "half.png").write_bytes(b"")
    for folder in (cohort, whole):
        assert run(["demo", str(folder), "--patients", "4"]) == ExitCode.DONE
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (cohort, whole)]
    assert names[0] == names[1]
    assert run(["demo", str(cohort), "--patients", "4"]) == ExitCode.USAGE


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_result_that_finds_no_room_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medimg_cli.cli.views.render.show_json", refuse)
    monkeypatch.setattr("medimg_cli.cli.views.render.drop_stdout", lambda: None)
    assert run(["runs", "--json", "-C", str(tmp_path)]) == ExitCode.MACHINE
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["another digit", "cut", "empty"])
def test_settings_of_a_run_are_taken_only_as_they_were_written(
    study: Workspace, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = find_run(study, "first").config_path
    whole = path.read_text()
    changed = {"another digit": whole.replace("epochs: 6", "epochs: 7"), "cut": whole[:300], "empty": ""}
    path.write_text(changed[damage])
    capsys.readouterr()
    assert medimg(study.root, "report", "first", "--out", str(study.root / "new.html")) == ExitCode.RUN
    error, hint = capsys.readouterr().err.splitlines()
    assert "config.yaml is not as medimg wrote it" in error
    assert hint.startswith("hint: ")
    with pytest.raises(RunError, match="not as medimg wrote it"):
        read_settings(path)
    path.write_text(whole.partition("\n")[2])  # as an earlier version wrote it
    assert read_settings(path).train.epochs == 6


def test_a_plan_of_test_sizes_says_that_the_manifest_is_not_as_it_was(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    content = study.manifest_path.read_text()
    study.manifest_path.write_text(
        content.replace(",32,32,", ",1e400,inf,", 1).replace(",test,", ",train,", 1)
    )
    call = ("sample-size", "--set", "sample_size.curve=false", "-C", str(study.root))
    assert run(call) == ExitCode.DONE
    assert "manifest.csv was edited" in capsys.readouterr().err
    study.manifest_path.unlink()
    study.manifest_path.mkdir()
    assert run(call) == ExitCode.DATA


def test_a_quarantine_that_is_not_as_it_was_written_is_said(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    study.quarantine_path.write_text(study.quarantine_path.read_text() + "a.png,no image,9,\n")
    capsys.readouterr()
    call = ("label-audit", "--checks", "unreadable", "-C", str(study.root))
    assert run(call) == ExitCode.DONE
    assert "quarantine.csv was edited since medimg wrote it" in capsys.readouterr().err
    study.quarantine_path.unlink()
    study.quarantine_path.mkdir()
    assert run(call) == ExitCode.DATA


def test_a_damaged_audit_is_made_again_and_not_reported(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ("label-audit", "--checks", "class-balance,unreadable", "--fail-on", "never")
    assert medimg(study.root, *call) == ExitCode.DONE
    measured, audit = study.audit_dir / "measurements.npz", study.audit_dir / "audit.json"
    whole = measured.read_bytes(), audit.read_bytes()
    for old, new in (('"severity"', '"sevarity"'), ('"passed": true', '"passed": false')):
        audit.write_text(whole[1].decode().replace(old, new, 1))
        capsys.readouterr()
        assert medimg(study.root, "report", "first", "--out", str(study.root / "new.html")) == ExitCode.DATA
        assert "audit.json is not as medimg wrote it" in capsys.readouterr().err
        measured.write_bytes(whole[0][:-200] + b"?" * 200)
        assert medimg(study.root, *call) == ExitCode.DONE
        assert audit.read_bytes() == whole[1]
    audit.write_text("[]")
    assert medimg(study.root, "report", "first", "--out", str(study.root / "new.html")) == ExitCode.DATA


def test_a_damaged_record_of_the_data_set_is_not_believed(
    study: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    content = study.dataset_path.read_text()
    study.dataset_path.write_text(content.replace('"patients_known": true', '"patients_known": false'))
    for command in (("evaluate", "first"), ("ingest", str(study.root / "raw"))):
        capsys.readouterr()
        assert medimg(study.root, *command) == ExitCode.DATA
        error, hint = capsys.readouterr().err.splitlines()
        assert "dataset.json is not as medimg wrote it" in error
        assert "--fresh" in hint


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="commands are forked")
@pytest.mark.parametrize("name", kills.CASES)
def test_a_command_killed_by_each_signal_is_gone_on_with(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = tmp_path_factory.getbasetemp() / "killed"
    call = [sys.executable, "-m", "tests.faults.kills", str(study), "--moments", "1", "--only", name]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "FAULT" not in done.stdout
    assert done.stdout.count("1 of 1") == 3
