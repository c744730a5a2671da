"""What a file is besides its picture, read from headers alone."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from medimg_cli.audit.shortcuts.file_traits import file_traits
from medimg_cli.sample_data.phantoms.cohort import Header, dicom_bytes

_GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
_MAKE, _MODEL, _SOFTWARE, _DATE_TIME = 0x010F, 0x0110, 0x0131, 0x0132


def test_a_jpeg_tells_how_it_was_compressed_and_by_which_device(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[_MAKE], exif[_MODEL], exif[_SOFTWARE] = "Maker A", "M-1", "Editor 3"
    exif[_DATE_TIME] = "2019:04:05 10:00:00"
    path = tmp_path / "a.JPEG"
    Image.fromarray(_GREY).save(path, exif=exif, quality=70, progressive=True)
    found = file_traits(path)
    assert (found.file_format, found.suffix, found.mode, found.encoding) == (
        "jpeg",
        ".jpeg",
        "L",
        "progressive",
    )
    assert (found.width_px, found.height_px, found.jpeg_quality) == (30, 20, 70)
    assert (found.make, found.model, found.software, found.year) == ("Maker A", "M-1", "Editor 3", 2019)
    assert found.bytes_per_pixel == path.stat().st_size / 600


def test_a_png_tells_its_text_and_its_packet_without_its_pixels_being_decoded(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "Viewer 9")
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Make="Maker B" tiff:Model="M-2"/>')
    path = tmp_path / "a.png"
    Image.fromarray(_GREY.astype(np.uint16) * 257).save(path, pnginfo=text, dpi=(300, 300))
    # cut inside of the pixels: a decoder would fail
    path.write_bytes(path.read_bytes()[:-120])
    found = file_traits(path)
    assert (found.file_format, found.mode, found.bit_depth) == ("png", "I;16", 16)
    assert (found.software, found.make, found.model) == ("Viewer 9", "Maker B", "M-2")
    assert (found.density, found.encoding, found.colour_profile) == ("300x300", "not interlaced", "no")
    assert math.isnan(found.jpeg_quality)


def test_a_tiff_tells_its_compression(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(_GREY).save(path, compression="tiff_lzw", software="Scanner 1")
    found = file_traits(path)
    assert (found.file_format, found.encoding, found.software) == ("tiff", "tiff_lzw", "Scanner 1")


def test_a_dicom_file_tells_device_view_and_year(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    identity = {"InstitutionName": "Example Hospital", "StudyDate": "20210504", "Manufacturer": "Maker C"}
    identity |= {"KVP": "85", "ImagerPixelSpacing": "0.15\\0.15"}
    path.write_bytes(dicom_bytes(_GREY.astype(np.float32) / 255, Header("a", identity), monochrome1=True))
    found = file_traits(path)
    assert (found.file_format, found.mode, found.bit_depth) == ("dicom", "MONOCHROME1", 12)
    assert (found.make, found.modality, found.view, found.institution) == (
        "Maker C",
        "CR",
        "PA",
        "Example Hospital",
    )
    assert (found.year, found.kvp, found.spacing_mm) == (2021, 85, 0.15)
    assert found.encoding == "Explicit VR Little Endian"


@pytest.mark.parametrize("kept", [20, 140, 400])
def test_a_damaged_header_leaves_what_is_known_without_it(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(_GREY).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    found = file_traits(path)
    assert (found.file_format, found.size_bytes) == ("jpeg", kept)
    assert found.make == ""


def test_a_file_of_no_known_format_has_size_and_suffix_only(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see")
    found = file_traits(path)
    assert (found.file_format, found.suffix, found.size_bytes) == ("", ".txt", 14)
    assert math.isnan(found.bytes_per_pixel)


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_traits(tmp_path / "gone.png")
