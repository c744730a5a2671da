"""DICOM as the caller wants it: a window of their own, 16 bits, one frame of many."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.readers import frame_count, read_image
from tests.images.dicom_file import dicom_image, lookup_table, write


def read(tmp_path: Path, samples: NDArray[Any], options: ReadOptions, **elements: Any) -> DecodedImage:
    return read_image(write(dicom_image(samples, **elements), tmp_path / "a.dcm").as_posix(), options)


def test_a_given_window_goes_before_table_and_window_and_counts_in_hounsfield(tmp_path: Path) -> None:
    # LINEAR, PS3.3 C.11.2.1.2.1: y = ((x - 39.5) / 399 + 0.5) * 255, x = stored - 1024.
    image = read(
        tmp_path,
        np.array([[864, 1024, 1064, 1264]], dtype="<i2"),
        ReadOptions(window=(40, 400)),
        RescaleSlope=1,
        RescaleIntercept=-1024,
        VOILUTSequence=lookup_table([0, 1], first=0, bits=8),
        WindowCenter=0,
        WindowWidth=10,
    )
    assert image.pixels.ravel().tolist() == [0, 102, 128, 255]
    assert image.facts["window"] == "40,400 (given)"


def test_a_given_window_beyond_every_sample_is_said(tmp_path: Path) -> None:
    image = read(tmp_path, np.array([[0, 9]], dtype="<u2"), ReadOptions(window=(4000, 400)))
    assert image.facts["window"] == "4000,400 (given), every sample beyond it"


def test_a_given_window_is_inverted_like_any_other(tmp_path: Path) -> None:
    samples = np.array([[0, 50, 100]], dtype="<u2")
    options = ReadOptions(window=(50.5, 101))
    image = read(tmp_path, samples, options, PhotometricInterpretation="MONOCHROME1")
    assert image.pixels.ravel().tolist() == [255, 128, 0]


def test_a_given_window_does_not_touch_colour(tmp_path: Path) -> None:
    samples = np.array([[[255, 0, 0], [0, 128, 255]]], dtype="u1")
    assert read(tmp_path, samples, ReadOptions(window=(1, 2))).pixels.tolist() == samples.tolist()


def test_sixteen_bits_fill_their_range_and_keep_what_eight_would_lose(tmp_path: Path) -> None:
    samples = np.array([[0, 1, 2048, 4095]], dtype="<u2")
    elements = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    image = read(tmp_path, samples, ReadOptions(bits=16), **elements)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.ravel().tolist() == [round(value / 4095 * 65535) for value in (0, 1, 2048, 4095)]
    assert read(tmp_path, samples, ReadOptions(), **elements).pixels.ravel().tolist() == [0, 0, 128, 255]


def test_eight_stored_bits_and_colour_stay_eight(tmp_path: Path) -> None:
    wide = ReadOptions(bits=16)
    assert read(tmp_path, np.array([[3, 200]], dtype="u1"), wide).pixels.dtype == np.uint8
    assert read(tmp_path, np.array([[[3, 200, 0]]], dtype="u1"), wide).pixels.dtype == np.uint8


def test_frames_are_counted_and_read_by_number(tmp_path: Path) -> None:
    frames = np.stack([np.full((2, 2), value, dtype="u1") for value in (10, 20, 30, 40)])
    path = write(dicom_image(frames), tmp_path / "no suffix").as_posix()
    assert frame_count(path) == 4
    read = [read_image(f"{path}#frame/{number}") for number in range(4)]
    assert [image.pixels.max() for image in read] == [10, 20, 30, 40]
    assert [image.facts["frame"] for image in read] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    with pytest.raises(UnreadableImage, match="no frame/4; its frames are frame/0 to frame/3"):
        read_image(f"{path}#frame/4")


def test_one_image_is_its_frame_0(tmp_path: Path) -> None:
    path = write(dicom_image(np.array([[7, 7]], dtype="u1")), tmp_path / "a.dcm").as_posix()
    assert frame_count(path) == 1
    assert read_image(f"{path}#frame/0").pixel_sha256() == read_image(path).pixel_sha256()


def test_a_big_endian_data_set_without_meta_and_suffix_is_read(tmp_path: Path) -> None:
    dataset = dicom_image(np.array([[5, 600]], dtype="<u2"), WindowCenter=500.5, WindowWidth=1001)
    dataset.PixelData = np.array([[5, 600]], dtype=">u2").tobytes()
    del dataset.file_meta
    dataset.save_as(tmp_path / "IM000001", implicit_vr=False, little_endian=False)
    image = read_image((tmp_path / "IM000001").as_posix())
    assert image.pixels.ravel().tolist() == [1, 153]
    assert image.facts["transfer_syntax"] == "Explicit VR Big Endian"


def test_a_number_of_frames_that_is_no_number_is_said(shared_data: Path) -> None:
    path = shared_data / "dicom" / "pydicom-test-files" / "badVR.dcm"
    with pytest.raises(UnreadableImage, match="whose Number of Frames is no number"):
        read_image(path.as_posix())
    assert frame_count(path.as_posix()) == 1


def test_floating_point_padding_is_left_out_of_the_range(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 64 * 64, dtype="<f4").reshape(64, 64)
    values[:32] = -3e38
    dataset = dicom_image(np.zeros((64, 64), np.uint16), BitsAllocated=32, FloatPixelPaddingValue=-3e38)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, keyword)
    dataset.FloatPixelData = values.tobytes()
    pixels = read_image(str(write(dataset, tmp_path / "a.dcm"))).pixels[..., 0]
    assert (pixels[:32] == 0).all()
    assert int(pixels[32, 0]) <= 2
    assert abs(int(pixels[48, 0]) - 127) <= 3


def test_a_frame_without_functional_groups_of_its_own_is_said(tmp_path: Path) -> None:
    group, rescale = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, 0
    group.PixelValueTransformationSequence = Sequence([rescale])
    frames = np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8)
    dataset = dicom_image(frames, PerFrameFunctionalGroupsSequence=Sequence([group, group]))
    path = write(dataset, tmp_path / "a.dcm")
    assert "skipped" not in read_image(f"{path}#frame/1").facts["window"]
    assert read_image(f"{path}#frame/2").facts["window"].endswith("functional groups: none of frame 3")


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PixelAspectRatio": [1, 2]}, "its pixels are not square, and shown as squares"),
        ({"PixelAspectRatio": [3, 3]}, None),
        ({"RedPaletteColorLookupTableDescriptor": [16, 0, 16]}, "the supplemental palette is not applied"),
        ({"PresentationLUTSequence": Sequence([Dataset()])}, "the presentation LUT is not applied"),
    ],
)
def test_what_is_not_applied_is_said(tmp_path: Path, elements: dict[str, Any], words: str | None) -> None:
    path = write(dicom_image(np.arange(64, dtype=np.uint16).reshape(8, 8), **elements), tmp_path / "a.dcm")
    assert read_image(str(path)).facts.get("note") == words


@pytest.mark.parametrize(
    ("more", "words"), [(0, None), (100, None), (256, "frames beyond Number of Frames left out: 2")]
)
def test_frames_beyond_their_number_are_said(tmp_path: Path, more: int, words: str | None) -> None:
    dataset = dicom_image(np.arange(64, dtype=np.uint16).reshape(8, 8))
    dataset.PixelData += bytes(more)
    assert read_image(str(write(dataset, tmp_path / "a.dcm"))).facts.get("note") == words


def test_an_overlay_that_is_not_drawn_is_said(tmp_path: Path) -> None:
    dataset = dicom_image(np.arange(64, dtype=np.uint16).reshape(8, 8))
    dataset.add_new(0x60023000, "OW", bytes(8))
    assert read_image(str(write(dataset, tmp_path / "a.dcm"))).facts["note"] == "the overlay is not drawn"
