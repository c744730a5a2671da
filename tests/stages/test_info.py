"""info: what one file is, how it is read, and no name of anybody."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medimg_cli.cli.app import run
from medimg_cli.cli.info import bars
from medimg_cli.errors import DataError, ExitCode
from medimg_cli.images.image import ReadOptions
from medimg_cli.stages.info import BINS, info

SECRETS = ("Doe", "Jane", "MRN4711", "19800203", "General Hospital", "Dr Who", "left lung nodule")


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """Return a CT slice of 16 x 8 pixels, -1000..1031 HU, full of identities."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "MRN4711", "19800203"
    dataset.InstitutionName, dataset.ReferringPhysicianName = "General Hospital", "Dr Who"
    dataset.ImageComments, dataset.WindowCenterWidthExplanation = "left lung nodule", "Dr Who's"
    dataset.Modality, dataset.Rows, dataset.Columns = "CT", 8, 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1000
    dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
    dataset.PixelData = (np.arange(128, dtype=np.uint16) * 16).tobytes()
    path = tmp_path / "slice"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_dicom_file_is_described_as_it_is_read(ct: Path) -> None:
    result = info(str(ct))
    assert (result.image_format, result.width, result.height, result.channels) == ("dicom", 16, 8, 1)
    assert (result.bit_depth, result.pixel_type, result.frames) == (12, "uint8", 1)
    assert result.facts["transfer_syntax"] == "Explicit VR Little Endian"
    assert result.header["WindowCenter"] == "40.0\\-600.0"
    assert result.header["SOPClassUID"] == "CT Image Storage"
    assert "40" in result.facts["window"]
    assert (result.minimum, result.maximum) == (0, 255)


def test_no_identity_is_shown_but_it_is_said_that_there_are_some(
    ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["info", str(ct)], ["info", str(ct), "--json"]):
        assert run(arguments) == ExitCode.DONE
        said = capsys.readouterr().out
        for secret in SECRETS:
            assert secret not in said
        assert "PatientName (0010,0010)" in said
        assert "ImageComments (0020,4000)" in said


def test_a_window_of_ones_own_changes_what_is_seen(ct: Path) -> None:
    lung = info(str(ct), ReadOptions(window=(-600, 1500)))
    assert "-600" in lung.facts["window"]
    assert lung.histogram != info(str(ct)).histogram


def test_the_histogram_counts_every_sample_where_it_belongs(tmp_path: Path) -> None:
    pixels = np.repeat(np.array([0, 7, 8, 255], dtype=np.uint8), 25).reshape(10, 10)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    result = info(str(tmp_path / "grey.png"))
    assert result.histogram == (50, 25, *[0] * (BINS - 3), 25)
    assert (result.minimum, result.maximum, result.mean) == (0, 255, 67.5)
    wide = (pixels.astype(np.uint16) * 257).reshape(10, 10)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    deep = info(str(tmp_path / "wide.png"))
    assert (deep.pixel_type, deep.histogram) == ("uint16", result.histogram)


def test_a_member_of_an_array_file_is_named_as_in_the_manifest(tmp_path: Path) -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.zeros((3, 1), dtype=np.uint8))
    assert info(f"{tmp_path / 'set.npz'}#train/2").width == 28


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"some words", "not an image of a known format")]
)
def test_a_bad_file_ends_with_the_reason_of_the_quarantine(
    tmp_path: Path, content: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        info(str(path))
    assert run(["info", str(path)]) == ExitCode.DATA
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert reason in lines[0]


def test_json_is_one_object_with_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 20), (200, 10, 10)).save(tmp_path / "red.jpg")
    assert run(["info", str(tmp_path / "red.jpg"), "--json"]) == ExitCode.DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["format"], answer["channels"]) == ("info", "jpeg", 3)
    assert sum(answer["histogram"]) == 30 * 20 * 3


def test_bars_show_heights_and_a_trace_of_the_least() -> None:
    assert bars((0, 1, 4, 8), lines=1) == [" ▁▄█"]
    assert bars((0, 1000, 1), lines=2) == [" █ ", " █▁"]
    assert bars((0, 0), lines=1) == ["  "]


def test_every_readable_dicom_file_can_be_described(shared_data: Path) -> None:
    described = 0
    for path in sorted((shared_data / "dicom" / "pydicom-test-files").glob("*.dcm")):
        try:
            result = info(str(path))
        except DataError:
            continue
        described += 1
        assert sum(result.histogram) == result.width * result.height * result.channels
        assert "PatientName" not in result.header
    assert described > 20
