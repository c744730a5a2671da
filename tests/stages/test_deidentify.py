"""De-identified copies of a folder: what is written, what is named, and that the originals stay."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread

from medimg_cli.errors import DataError, ExitCode, UsageError
from medimg_cli.stages.deidentify import DeidentifyResult, deidentify
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.settings import DeidentifySettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.privacy.dicom_files import write_dicom
from tests.privacy.planted_identities import left_in, planted

_EXIF_ARTIST = 0x013B


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of a DICOM file full of identities, a picture with EXIF, an array and a text."""
    folder = tmp_path / "raw"
    (folder / "sick").mkdir(parents=True)
    content = planted(write_dicom(tmp_path / "drawn.dcm"))
    (folder / "sick" / "Zebedee_Quintrell_1.dcm").write_bytes(content)
    exif = Image.Exif()
    exif[_EXIF_ARTIST] = "Quintrell"
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "sick" / "a.jpg", exif=exif)
    np.savez(folder / "stack.npz", train_images=pixels[None])
    (folder / "notes.txt").write_text("Quintrell")
    return folder


def _run(tmp_path: Path, source: Path, to: str = "clean", **settings: Any) -> DeidentifyResult:
    chosen = DeidentifySettings.model_validate(settings)
    return deidentify(Workspace(tmp_path / "study"), source, tmp_path / to, chosen)


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_file_is_written_or_named_and_the_originals_stay(tmp_path: Path, source: Path) -> None:
    before = _files(source)
    result = _run(tmp_path, source)
    assert _files(source) == before
    assert (result.files, result.written) == (4, 3)
    assert [(row.path, row.reason.split(";")[0]) for row in result.not_written] == [("notes.txt", "no image")]
    assert result.identities_removed > 30
    assert result.edition == "2026d"
    assert set(_files(tmp_path / "clean")) == {
        "deidentify-log.csv",
        "stack.npz",
        "sick/a.jpg",
        *(name for name in _files(tmp_path / "clean") if name.startswith("sick/N-")),
    }
    for path in (tmp_path / "clean").rglob("*"):
        if path.is_file():
            assert left_in(path.read_bytes()) == set()
            assert (
                b"quintrell"
                not in path.read_bytes().lower() + str(path.relative_to(tmp_path)).lower().encode()
            )


def test_the_log_counts_without_values_and_the_map_stands_beside_the_key(
    tmp_path: Path, source: Path
) -> None:
    result = _run(tmp_path, source)
    with result.log.open(newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 4
    assert rows["notes.txt"]["status"] == "not written"
    (scan,) = (row for row in rows.values() if row["kind"] == "dicom")
    assert int(scan["removed"]) > 10 and int(scan["uids_replaced"]) >= 3
    assert scan["edition"] == "2026d"
    assert result.map.parent == result.key.parent == tmp_path / "study"
    assert "Zebedee_Quintrell_1.dcm" in result.map.read_text()
    assert result.map.stat().st_mode & 0o777 == 0o600


def test_the_same_key_gives_the_same_folder_and_another_shares_no_pseudonym(
    tmp_path: Path, source: Path
) -> None:
    first = _run(tmp_path, source, "one")
    second = _run(tmp_path, source, "two", key=first.key)
    assert (first.key_made, second.key_made) == (True, False)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    _run(tmp_path, source, "three", key=tmp_path / "other.key")
    shared = set(_files(tmp_path / "one")) & set(_files(tmp_path / "three"))
    assert shared == {"deidentify-log.csv", "stack.npz", "sick/a.jpg"}


def test_a_second_run_into_the_same_folder_leaves_what_is_right_untouched(
    tmp_path: Path, source: Path
) -> None:
    _run(tmp_path, source)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "clean").rglob("*.dcm")}
    (tmp_path / "clean" / "sick" / "a.jpg").unlink()
    _run(tmp_path, source)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (tmp_path / "clean" / "sick" / "a.jpg").is_file()


def test_an_archive_is_read_member_by_member(tmp_path: Path, source: Path) -> None:
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    result = _run(tmp_path, tmp_path / "raw.zip", "of-archive")
    assert (result.files, result.written) == (4, 3)
    again = _run(tmp_path, source, "of-folder")
    assert again.written == 3
    assert _files(tmp_path / "of-archive") == _files(tmp_path / "of-folder")


def test_one_file_is_a_source_too(tmp_path: Path, source: Path) -> None:
    result = _run(tmp_path, source / "sick" / "a.jpg")
    assert (result.files, result.written) == (1, 1)
    with Image.open(tmp_path / "clean" / "a.jpg") as clean:
        assert not clean.getexif()


@pytest.mark.parametrize("to", ["raw", "raw/inside", "."])
def test_places_that_would_mix_originals_and_copies_are_refused(
    to: str, tmp_path: Path, source: Path
) -> None:
    with pytest.raises(UsageError):
        _run(tmp_path, source, to)
    assert not (tmp_path / "study").exists()


def test_a_full_destination_a_key_inside_it_and_a_missing_source_are_refused(
    tmp_path: Path, source: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "own.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        _run(tmp_path, source, "full")
    with pytest.raises(UsageError, match="among the copies"):
        _run(tmp_path, source, key=tmp_path / "clean" / "a.key")
    with pytest.raises(DataError, match="does not exist"):
        _run(tmp_path, tmp_path / "nowhere")


def test_a_file_in_which_something_is_left_is_not_written(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "medimg_cli.privacy.removal.header_cleaner.HeaderCleaner.clean", lambda *_, **__: None
    )
    result = _run(tmp_path, source)
    (row,) = (row for row in result.not_written if row.path.startswith("sick/"))
    assert row.reason.startswith(("still there after cleaning: ", "text among the numbers of "))
    assert not list((tmp_path / "clean").rglob("*.dcm"))
    assert "uintrell" not in row.path + row.reason


def test_dates_shift_and_options_reach_the_files(tmp_path: Path, source: Path) -> None:
    _run(tmp_path, source, keep="institution", keep_dates=False)
    (path,) = (tmp_path / "clean").rglob("*.dcm")
    header = dcmread(path)
    assert header.InstitutionName == "St Brannock Infirmary"
    assert header.LongitudinalTemporalInformationModified == "MODIFIED"
    assert header.StudyDate and header.StudyDate != "20170911"


def test_the_command_says_what_is_missing_with_4(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = medimg(tmp_path, "deidentify", str(source), str(tmp_path / "clean"), "--json", "--shift-dates")
    assert code == ExitCode.PARTIAL
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) >= {
        "files",
        "written",
        "not_written",
        "identities_removed",
        "edition",
        "profile",
        "log",
    }
    assert (answer["written"], answer["not_written"][0]["path"]) == (3, "notes.txt")
    (source / "notes.txt").unlink()
    assert medimg(tmp_path, "deidentify", str(source), str(tmp_path / "clean")) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "3 of 3 files written de-identified" in said
    assert "anonym" not in said.lower()


def test_text_in_the_pixels_is_blanked_on_request(tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((256, 512), 40, np.uint8))
    place = (100, 100)
    ImageDraw.Draw(picture).text(place, "QUINTRELL ZEBEDEE", fill=255, font=ImageFont.load_default(24))
    (tmp_path / "raw").mkdir()
    picture.save(tmp_path / "raw" / "a.png")
    header: dict[str, Any] = {
        "Rows": 256,
        "Columns": 512,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    header |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    write_dicom(tmp_path / "raw" / "b.dcm", PixelData=np.asarray(picture).tobytes(), **header)
    result = _run(tmp_path, tmp_path / "raw", mask_text=True)
    assert result.written == 2
    assert result.counts["text_regions_masked"] >= 2
    with Image.open(tmp_path / "clean" / "a.png") as clean:
        assert np.asarray(clean).max() < 60
    scan = dcmread(tmp_path / "clean" / "b.dcm")
    assert scan.pixel_array.max() < 60
    assert scan.BurnedInAnnotation == "NO"


def test_an_array_of_texts_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw" / "a.npz", names=np.array(["Quintrell"]))
    (row,) = _run(tmp_path, tmp_path / "raw").not_written
    assert row.reason == "an array file that holds texts"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test ends copies of its own process")
def test_a_killed_run_goes_on_with_the_same_command_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(60):
        write_dicom(
            tmp_path / f"raw/{number % 5}/{number}.dcm",
            PatientName=f"Quick^Jo{number}",
            PatientID=f"A77{number}",
        )
    (tmp_path / "study").mkdir()
    begun = time.monotonic()
    whole = _run(tmp_path, tmp_path / "raw", "whole")
    seconds = time.monotonic() - begun
    delays = random.Random(0)
    killed = 0
    for _ in range(8):
        child = os.fork()
        if not child:
            _run(tmp_path, tmp_path / "raw", "again")
            os._exit(0)
        time.sleep(delays.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert killed >= 4
    assert _run(tmp_path, tmp_path / "raw", "again").written == whole.written == 60
    assert _files(tmp_path / "again") == _files(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_killed_run_left_before_its_first_copy_does_not_stop_the_next(
    tmp_path: Path, source: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    log, key = (f".deidentify-log.csv.{process.pid}.tmp", f".deidentify.key.{process.pid}.tmp")
    for leftover in (tmp_path / "clean" / log, tmp_path / "study" / key, tmp_path / "clean" / "sick" / log):
        leftover.parent.mkdir(parents=True, exist_ok=True)
        leftover.write_bytes(b"half")
        _run(tmp_path, source)
        assert not leftover.exists()


def test_a_name_of_several_lines_is_one_line_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\nwritten: b.png").write_text("no image")
    assert medimg(tmp_path, "deidentify", str(tmp_path / "in"), str(tmp_path / "out")) == ExitCode.PARTIAL
    assert r"not written a\nwritten: b.png: no image" in " ".join(capsys.readouterr().out.split())
