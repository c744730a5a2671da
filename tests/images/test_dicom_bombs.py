"""DICOM files that hold more than they claim, or claim more than they hold, are refused before they are unpacked."""

import io
import resource
import struct
import time

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medimg_cli.images.dicom.bombs import codestream_size
from medimg_cli.images.image import ReadOptions, TooManyPixels, UnreadableImage
from medimg_cli.images.readers import count_content, read_content
from tests.web.hostile import codestream_that_claims, deflated_bomb
from tests.web.serving import dicom, encoded, png


def read(data: bytes, most_pixels: int | None = None) -> tuple[int, int]:
    image = read_content(io.BytesIO(data), "", None, ReadOptions(most_pixels=most_pixels))
    return image.width, image.height


def deflated() -> bytes:
    data = dcmread(io.BytesIO(dicom((90, 91, 92))))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def test_an_honest_deflated_file_is_read() -> None:
    assert read(deflated()) == (24, 24)
    assert count_content(io.BytesIO(deflated()), None) == 3


def test_a_deflated_bomb_goes_off_nowhere() -> None:
    bomb = deflated_bomb(300_000_000)
    assert len(bomb) < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for attempt in (lambda: read(bomb), lambda: count_content(io.BytesIO(bomb), None)):
        with pytest.raises(UnreadableImage, match="unpacks to more"):
            attempt()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_a_codestream_larger_than_its_data_set_says_is_refused() -> None:
    assert codestream_size(encoded_jpeg()) == (24, 16)
    assert codestream_size(png()) is None
    with pytest.raises(TooManyPixels, match="60000x60000"):
        read(codestream_that_claims(60_000))
    with pytest.raises(TooManyPixels, match="3000x3000"):
        read(codestream_that_claims(3000), most_pixels=1_000_000)


def encoded_jpeg() -> bytes:
    return encoded(np.zeros((16, 24), np.uint8), "JPEG")


def test_millions_of_empty_elements_are_not_waited_for() -> None:
    whole = dicom()
    place = whole.index(struct.pack("<HH", 0x28, 2))
    elements = struct.pack("<HH2sH", 0x21, 0x1001, b"LO", 0) * 400_000
    began = time.process_time()
    with pytest.raises(UnreadableImage, match="elements"):
        read(whole[:place] + elements + whole[place:])
    assert time.process_time() - began < 5


@pytest.mark.parametrize("data", [png(side=40), dicom(side=40)], ids=["PNG", "DICOM"])
def test_a_caller_may_take_fewer_pixels_than_readers_do(data: bytes) -> None:
    assert read(data) == (40, 40)
    with pytest.raises(TooManyPixels, match="40x40"):
        read(data, most_pixels=1000)
