"""Decoders of compressed DICOM: which are asked, and that none takes the process with it."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from medimg_cli.images.dicom.pixels import _decoders
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image, write


@pytest.mark.parametrize(
    ("syntax", "decoders"),
    [
        (ExplicitVRLittleEndian, ("",)),
        (JPEGBaseline8Bit, ("pillow",)),
        (JPEGLSLossless, ("pyjpegls",)),
        (JPEG2000, ("pylibjpeg", "pillow")),
    ],
)
def test_decoders_are_asked_in_order_and_gdcm_is_not_among_several(
    syntax: UID, decoders: tuple[str, ...]
) -> None:
    asked = _decoders(syntax)
    assert asked[: len(decoders)] == decoders
    assert "gdcm" not in asked


def test_lossless_jpeg_which_only_gdcm_reads_is_left_to_pydicom_where_no_other_is_installed() -> None:
    assert _decoders(JPEGLosslessSV1) in (("",), ("pylibjpeg",))


def test_an_unknown_syntax_is_left_to_pydicom_to_refuse() -> None:
    unknown = UID("1.2.840.10008.1.2.4.204")
    assert _decoders(unknown) == ("",)


def test_damaged_jpeg_inside_dicom_is_refused_silently_and_the_process_lives(
    shared_data: Path, tmp_path: Path
) -> None:
    """In a process of its own: a decoder that fails badly would end this one."""
    path = shared_data / "dicom" / "pydicom-test-files" / "SC_rgb_jpeg_lossy_gdcm.dcm"
    content = path.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    for number, share in enumerate((0.2, 0.4, 0.6, 0.8)):
        place = start + int((len(content) - start) * share)
        damaged = content[:place] + bytes(300) + content[place + 300 :]
        (tmp_path / f"{number}.dcm").write_bytes(damaged[: len(content)])
    program = """
import sys
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
for number in range(4):
    try:
        read_image(f"{sys.argv[1]}/{number}.dcm")
    except UnreadableImage:
        pass
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path.as_posix()], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "alive", "")


def in_jpeg(stream: bytes, rows: int, columns: int) -> Dataset:
    dataset = dicom_image(np.zeros((rows, columns), np.uint8))
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return dataset


def ramp_jpeg() -> bytes:
    buffer = io.BytesIO()
    ramp = (np.add.outer(np.arange(64), np.arange(64)) * 2).astype(np.uint8)
    Image.fromarray(ramp).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(("rows", "columns"), [(128, 32), (32, 128), (32, 64), (64, 63)])
def test_a_frame_of_another_size_than_the_header_says_is_refused(
    tmp_path: Path, rows: int, columns: int
) -> None:
    path = write(in_jpeg(ramp_jpeg(), rows, columns), tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage, match=f"the header says {columns}x{rows} pixels, its frame 64x64"):
        read_image(str(path))


def test_a_jpeg_frame_whose_samples_end_early_is_refused(tmp_path: Path) -> None:
    whole = ramp_jpeg()
    assert read_image(str(write(in_jpeg(whole, 64, 64), tmp_path / "a.dcm"))).pixels.max() > 200
    cut = whole[: len(whole) // 2].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(UnreadableImage, match="its samples end before the picture does"):
        read_image(str(write(in_jpeg(cut, 64, 64), tmp_path / "b.dcm")))
