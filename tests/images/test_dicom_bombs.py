"""DICOM files that hold more than they claim, or claim more than they hold, are refused before they are unpacked."""

import io
import resource
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medimg_cli.images.decoding import codestream_claims
from medimg_cli.images.dicom import bombs
from medimg_cli.images.image import ReadOptions, TooManyPixels, UnreadableImage
from medimg_cli.images.readers import count_content, read_content, read_image
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
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000
    )  # the bound is 64 MiB, the bomb 300 MB


def test_a_codestream_larger_than_its_data_set_says_is_refused() -> None:
    assert codestream_claims(encoded_jpeg()) == (24, 16, 8)
    assert codestream_claims(png()) is None
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
    assert time.process_time() - began < 20


@pytest.mark.parametrize("data", [png(side=40), dicom(side=40)], ids=["PNG", "DICOM"])
def test_a_caller_may_take_fewer_pixels_than_readers_do(data: bytes) -> None:
    assert read(data) == (40, 40)
    with pytest.raises(TooManyPixels, match="40x40"):
        read(data, most_pixels=1000)


ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
PREAMBLE = bytes(128) + b"DICM"


def sequence(tag: tuple[int, int], content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, len(content) if length is None else length) + content


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = sequence((0x5200, 0x9230), struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content)
    return content


def before(element: int, rubbish: bytes) -> bytes:
    """Return a whole file with rubbish before an element: its first attribute of group 0028, or its pixels."""
    whole = dicom()
    place = whole.index(struct.pack("<HH", element >> 16, element & 0xFFFF))
    return whole[:place] + rubbish + whole[place:]


@pytest.mark.parametrize(
    "data",
    [
        PREAMBLE + bytes(16 << 20),
        before(0x00280002, sequence((0x20, 0x9116), ITEM * 300_000)),
        before(0x00280002, sequence((0x20, 0x9116), ITEM * 600_000, length=0xFFFFFFFF)),
        before(0x7FE00010, sequence((0x5200, 0x9230), ITEM * 600_000)),
        before(0x7FE00010, nested(60) + sequence((0x5200, 0x9229), ITEM * 200_000)),
        before(0x00280002, struct.pack("<HH2sHI", 0x21, 0x1001, b"OB", 0, 0xFFFFFFFE)),
    ],
    ids=["zeros", "items", "items without end", "items read late", "deep", "a length beyond the file"],
)
def test_a_header_that_goes_on_and_on_is_refused_in_seconds(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bombs, "_MOST_READS", 60_000)  # a fifth, and so is the time
    began = time.process_time()
    with pytest.raises(UnreadableImage):
        read(data)
    assert time.process_time() - began < 20  # a half on an idle machine; without bounds, minutes


@pytest.mark.parametrize(
    "head",
    [PREAMBLE, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"BM", b"RIFF\0\0\0\0WEBP"],
)
def test_a_sparse_file_of_twenty_gigabytes_is_refused_in_seconds(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.write(head)
        try:
            stream.truncate(20 << 30)
        except OSError:
            pytest.skip("this file system has no sparse files")
    began = time.process_time()
    with pytest.raises(UnreadableImage):
        read_image(path.as_posix())
    assert time.process_time() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20


def test_of_many_frames_only_the_one_that_is_asked_for_is_read(tmp_path: Path) -> None:
    """A gigabyte of frames, sparse on the disk, is not held to show one of them."""
    whole = dicom()
    place = whole.index(struct.pack("<HH", 0x7FE0, 0x10))
    header = whole[:place]
    dataset = dcmread(io.BytesIO(header), force=True)
    dataset.Rows = dataset.Columns = 1024
    dataset.NumberOfFrames, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1000, 8, 8, 7
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    path = tmp_path / "cine.dcm"
    with path.open("wb") as stream:
        stream.write(buffer.getvalue() + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 1000 << 20))
        stream.seek(700 << 20, io.SEEK_CUR)
        stream.write(b"\xff" * (1 << 20))
        stream.truncate(stream.tell() + (299 << 20))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_image(f"{path.as_posix()}#frame/700").pixels.min() == 255
    assert read_image(f"{path.as_posix()}#frame/701").pixels.max() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200_000
