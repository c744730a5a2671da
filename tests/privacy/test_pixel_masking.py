"""Text in the pixels is blanked in every frame and page, and nothing else is."""

import io
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread

from medimg_cli.images.readers import read_image
from medimg_cli.privacy.pixels.text_policy import classify_line
from medimg_cli.privacy.pixels.text_reading import can_read, line_reader, read_whole
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.pixel_masking import TextMask
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.dicom_files import write_dicom

_SIZE = (512, 256)
_LEVEL, _INK = 40, 255


def _written(text: str, place: tuple[int, int] = (100, 100)) -> NDArray[np.uint8]:
    picture = Image.new("L", _SIZE, _LEVEL)
    if text:
        ImageDraw.Draw(picture).text(place, text, fill=_INK, font=ImageFont.load_default(24))
    return np.asarray(picture)


def _scan(folder: Path, frames: list[NDArray[np.uint8]]) -> Dataset:
    height, width = frames[0].shape
    return dcmread(
        write_dicom(
            folder / "a.dcm",
            PixelData=np.stack(frames).tobytes(),
            NumberOfFrames=len(frames),
            Rows=height,
            Columns=width,
            BitsStored=8,
            HighBit=7,
            PixelRepresentation=0,
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
        )
    )


def test_what_stands_in_one_frame_is_blanked_in_all(tmp_path: Path) -> None:
    dataset = _scan(
        tmp_path, [_written(""), _written("QUINTRELL ZEBEDEE"), _written("MRN 7734881", (20, 20))]
    )
    assert TextMask().dicom(dataset) >= 2
    assert dataset.pixel_array.shape == (3, 256, 512)
    assert dataset.pixel_array.max() < _LEVEL + 20


def test_a_scan_without_text_keeps_its_pixels_as_they_were(tmp_path: Path) -> None:
    dataset = _scan(tmp_path, [_written("")])
    before = dataset.PixelData
    assert TextMask().dicom(dataset) == 0
    assert dataset.PixelData is before


def test_pixels_that_cannot_be_decoded_keep_a_file_from_being_written(tmp_path: Path) -> None:
    dataset = _scan(tmp_path, [_written("")])
    dataset.Rows = 999
    with pytest.raises(CannotDeidentify, match="cannot be decoded"):
        TextMask().dicom(dataset)


@pytest.mark.parametrize("image_format", ["jpeg", "png", "tiff", "bmp", "webp"])
def test_a_picture_comes_back_in_its_own_format_without_its_text(image_format: str) -> None:
    target = io.BytesIO()
    Image.fromarray(_written("QUINTRELL ZEBEDEE")).convert("RGB").save(target, image_format)
    content, count = TextMask().picture(target.getvalue(), image_format)
    assert count >= 1
    with Image.open(BytesIO(content)) as picture:
        assert str(picture.format).lower() == image_format
        assert np.asarray(picture).max() < _LEVEL + 20


def test_a_picture_without_text_comes_back_byte_for_byte() -> None:
    target = io.BytesIO()
    Image.fromarray(_written("")).save(target, "PNG")
    assert TextMask().picture(target.getvalue(), "png") == (target.getvalue(), 0)


@pytest.mark.slow
def test_no_identity_can_be_read_in_real_ultrasound_after_masking(tmp_path: Path, shared_data: Path) -> None:
    if not can_read():
        pytest.skip("the extra ocr is not installed")
    files = sorted((shared_data / "dicom" / "deid-data" / "ultrasounds").glob("*.dcm"))
    assert len(files) == 2
    mask = TextMask()
    for path in files:
        clean = deidentify_dicom(
            path.read_bytes(), Profile(mask_text=True), Pseudonyms(b"k" * 32), mask.dicom
        )
        (tmp_path / path.name).write_bytes(clean.content)
        assert _identities(path)
        assert not _identities(tmp_path / path.name)


def _identities(path: Path) -> list[str]:
    lines = read_whole(read_image(str(path)).as_uint8(), line_reader())
    return [line.text for line in lines if classify_line(line).meaning == "identity"]
