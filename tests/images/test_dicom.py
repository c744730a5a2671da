"""DICOM, by hand: what PS3.3 says a value looks like is what comes out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image, lookup_table, write


def read(tmp_path: Path, samples: NDArray[Any], **elements: Any) -> DecodedImage:
    return read_image(write(dicom_image(samples, **elements), tmp_path / "a.dcm").as_posix())


def shown(tmp_path: Path, values: list[int], dtype: str = "<i2", **elements: Any) -> list[int]:
    return [
        int(value) for value in read(tmp_path, np.array([values], dtype=dtype), **elements).pixels.ravel()
    ]


def test_the_window_applies_to_hounsfield_units_not_to_stored_values(tmp_path: Path) -> None:
    # LINEAR, PS3.3 C.11.2.1.2.1: y = ((x - 39.5) / 399 + 0.5) * 255, x = stored - 1024.
    values = shown(
        tmp_path,
        [0, 864, 1024, 1064, 1263, 1264, 2000],
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    assert values == [0, 0, 102, 128, 255, 255, 255]


def test_the_first_of_several_windows_is_used_and_said(tmp_path: Path) -> None:
    samples = np.array([[0, 50, 100]], dtype="<i2")
    image = read(tmp_path, samples, WindowCenter=[50.5, 1000], WindowWidth=[101, 1])
    assert image.pixels.ravel().tolist() == [0, 128, 255]
    assert image.facts["window"] == "center 50.5, width 101"


def test_linear_exact_has_no_half_pixel_shift(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 50, 100], WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert values == [0, 128, 255]


def test_a_sigmoid_window_is_a_logistic_curve(tmp_path: Path) -> None:
    values = shown(tmp_path, [0, 50, 75], WindowCenter=50, WindowWidth=100, VOILUTFunction="SIGMOID")
    assert values == [round(255 / (1 + np.exp(2))), 128, round(255 / (1 + np.exp(-1)))]


def test_a_window_of_width_one_is_a_step(tmp_path: Path) -> None:
    assert shown(tmp_path, [9, 10, 11], WindowCenter=10, WindowWidth=1) == [0, 255, 255]


@pytest.mark.parametrize("width", [0, -5])
def test_an_impossible_window_falls_back_to_the_robust_range(tmp_path: Path, width: int) -> None:
    image = read(tmp_path, np.array([[0, 50, 100]], dtype="<i2"), WindowCenter=50, WindowWidth=width)
    assert image.facts["window"].startswith("percentiles")
    assert image.pixels.ravel().tolist() == [0, 128, 255]


def test_a_voi_table_goes_before_a_window_and_its_bits_are_the_range(tmp_path: Path) -> None:
    # 10 bits a table entry: 1023 is white, whatever the table's largest entry is.
    values = shown(
        tmp_path,
        [-5, 10, 11, 12, 500],
        VOILUTSequence=lookup_table([0, 341, 682], first=10, bits=10),
        WindowCenter=0,
        WindowWidth=2,
    )
    assert values == [0, 0, 85, 170, 170]


def test_an_eight_bit_table_may_be_longer_than_256_entries(tmp_path: Path) -> None:
    table = lookup_table([min(255, entry // 4) for entry in range(1024)], first=0, bits=8)
    assert shown(tmp_path, [0, 400, 1023], VOILUTSequence=table) == [0, 100, 255]


def test_a_modality_table_is_applied_before_the_window(tmp_path: Path) -> None:
    table = lookup_table([1000, 1050, 1100], first=0, bits=16)
    values = shown(tmp_path, [0, 1, 2], ModalityLUTSequence=table, WindowCenter=1050.5, WindowWidth=101)
    assert values == [0, 128, 255]


def test_monochrome1_is_inverted_after_the_window_and_it_is_said(tmp_path: Path) -> None:
    samples = np.array([[0, 50, 100]], dtype="<u2")
    elements = {"WindowCenter": 50.5, "WindowWidth": 101, "PhotometricInterpretation": "MONOCHROME1"}
    image = read(tmp_path, samples, **elements)
    assert image.pixels.ravel().tolist() == [255, 128, 0]
    assert image.facts["inverted"] == "yes"


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_inverse_presentation_alone_or_of_monochrome1_is_inverted_once(
    photometric: str, tmp_path: Path
) -> None:
    samples = np.array([[0, 255]], dtype="u1")
    image = read(tmp_path, samples, PhotometricInterpretation=photometric, PresentationLUTShape="INVERSE")
    assert image.pixels.ravel().tolist() == [255, 0]


def test_eight_bits_without_window_are_shown_as_they_are(tmp_path: Path) -> None:
    image = read(tmp_path, np.array([[3, 100, 200]], dtype="u1"))
    assert image.pixels.ravel().tolist() == [3, 100, 200]
    assert image.bit_depth == 8
    assert "inverted" not in image.facts


def test_without_window_padding_does_not_move_the_range(tmp_path: Path) -> None:
    samples = np.full((20, 20), -2000, dtype="<i2")
    samples[5:15, 5:15] = np.arange(100).reshape(10, 10)
    image = read(tmp_path, samples, PixelPaddingValue=-2000)
    assert image.pixels[0, 0, 0] == 0
    assert image.pixels[10, 5, 0] in range(124, 133)
    assert image.facts["window"] == "percentiles 0.5-99.5: 0.495..98.505"


def test_a_hot_pixel_does_not_darken_the_rest(tmp_path: Path) -> None:
    samples = np.tile(np.arange(100, dtype="<u2"), (10, 1))
    samples[0, 0] = 60_000
    assert read(tmp_path, samples).pixels[1, 50, 0] in range(122, 134)


def test_a_constant_image_is_black_not_an_error(tmp_path: Path) -> None:
    assert read(tmp_path, np.full((4, 4), 700, dtype="<u2")).pixels.max() == 0


def test_rgb_is_kept(tmp_path: Path) -> None:
    samples = np.array([[[255, 0, 0], [0, 128, 255]]], dtype="u1")
    assert read(tmp_path, samples).pixels.tolist() == samples.tolist()


def test_ybr_is_converted_once(tmp_path: Path) -> None:
    red = np.array([[[76, 85, 255], [76, 85, 255]]], dtype="u1")
    image = read(tmp_path, red, PhotometricInterpretation="YBR_FULL")
    assert np.abs(image.pixels[0, 0].astype(int) - [255, 0, 0]).max() <= 2


def test_sixteen_bit_colour_is_scaled_by_its_stored_bits(tmp_path: Path) -> None:
    samples = np.array([[[4095, 2048, 0]]], dtype="<u2")
    image = read(tmp_path, samples, BitsStored=12, HighBit=11)
    assert image.pixels.tolist() == [[[255, 128, 0]]]


@pytest.mark.parametrize(("bits", "dtype", "full"), [(8, "u1", 255), (16, "<u2", 65535)])
def test_a_palette_is_looked_up(tmp_path: Path, bits: int, dtype: str, full: int) -> None:
    dataset = dicom_image(np.array([[1, 0]], dtype="u1"), PhotometricInterpretation="PALETTE COLOR")
    for colour, entries in (("Red", [0, full]), ("Green", [full, 0]), ("Blue", [0, 0])):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", np.array(entries, dtype=dtype).tobytes())
    image = read_image(write(dataset, tmp_path / "a.dcm").as_posix())
    assert image.pixels.tolist() == [[[255, 0, 0], [0, 255, 0]]]


def test_of_several_frames_the_middle_one_is_read_and_it_is_said(tmp_path: Path) -> None:
    samples = np.stack([np.full((2, 2), value, dtype="u1") for value in (10, 20, 30, 40, 50)])
    image = read(tmp_path, samples)
    assert image.pixels.max() == 30
    assert image.facts["frame"] == "3 of 5"


def test_a_frame_of_its_own_window_and_rescale_is_shown_by_these(tmp_path: Path) -> None:
    def frame_groups(intercept: int) -> Dataset:
        rescale, window, groups = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, intercept, "HU"
        window.WindowCenter, window.WindowWidth = 50.5, 101
        groups.PixelValueTransformationSequence = Sequence([rescale])
        groups.FrameVOILUTSequence = Sequence([window])
        return groups

    samples = np.stack([np.array([[0, 50]], dtype="<i2")] * 2)
    groups = Sequence([frame_groups(0), frame_groups(50)])
    image = read(tmp_path, samples, PerFrameFunctionalGroupsSequence=groups)
    assert image.pixels.ravel().tolist() == [128, 255]


def test_floating_point_pixels_are_read(tmp_path: Path) -> None:
    dataset = dicom_image(np.zeros((1, 3), dtype="<u4"))
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.FloatPixelData = np.array([[0.0, 0.5, 1.0]], dtype="<f4").tobytes()
    image = read_image(write(dataset, tmp_path / "a.dcm").as_posix())
    assert image.pixels.ravel().tolist() == [0, 128, 255]
    assert image.bit_depth == 32


def test_a_data_set_without_file_meta_is_read(tmp_path: Path) -> None:
    dataset = dicom_image(np.array([[5, 6]], dtype="u1"))
    del dataset.file_meta
    dataset.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)
    image = read_image((tmp_path / "bare").as_posix())
    assert image.pixels.ravel().tolist() == [5, 6]
    assert image.facts["transfer_syntax"] == "Implicit VR Little Endian"


def test_the_patient_is_known_to_the_caller_and_no_other_identity_is(tmp_path: Path) -> None:
    image = read(tmp_path, np.zeros((2, 2), "u1"), PatientID=" A1 ", PatientName="Doe^Jane", StudyID="S9")
    assert image.facts["patient_id"] == "A1"
    assert set(image.facts) == {"modality", "transfer_syntax", "patient_id", "window"}


def test_a_file_without_pixels_is_refused(tmp_path: Path) -> None:
    dataset = dicom_image(np.zeros((2, 2), "u1"), Modality="SR")
    del dataset.PixelData
    with pytest.raises(UnreadableImage, match=r"^a DICOM file without pixels \(SR\)$"):
        read_image(write(dataset, tmp_path / "a.dcm").as_posix())


def test_a_bomb_is_refused_before_its_pixels_are_looked_at(tmp_path: Path) -> None:
    dataset = dicom_image(np.zeros((2, 2), "u1"), Rows=65535, Columns=65535)
    with pytest.raises(UnreadableImage, match="more than the limit"):
        read_image(write(dataset, tmp_path / "a.dcm").as_posix())


def test_a_truncated_file_is_refused_or_whole_but_never_half(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype="u1")
    path = write(dicom_image(noise), tmp_path / "a.dcm")
    content = path.read_bytes()
    refused = 0
    for kept in range(0, len(content), 23):
        path.write_bytes(content[:kept])
        try:
            assert np.array_equal(read_image(path.as_posix()).pixels[..., 0], noise)
        except UnreadableImage as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused == len(range(0, len(content), 23))
    assert capfd.readouterr().err == ""


def test_real_files_of_eleven_transfer_syntaxes_open_and_broken_ones_are_refused(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "dicom" / "pydicom-test-files"
    refused = {}
    syntaxes = set()
    for path in sorted(folder.glob("*.dcm")):
        try:
            syntaxes.add(read_image(path.as_posix()).facts["transfer_syntax"])
        except UnreadableImage as error:
            refused[path.stem] = str(error)
    damaged = {name for name, reason in refused.items() if "without pixels" not in reason}
    assert damaged == {
        "JPEG-lossy",
        "JPEG2000-embedded-sequence-delimiter",
        "JPGExtended",
        "MR_truncated",
        "badVR",
        "meta_missing_tsyntax",
        "nested_priv_SQ",
        "no_meta",
    }
    assert len(syntaxes) == 11
    assert capfd.readouterr().err == ""


def test_one_image_in_seven_codings_looks_the_same(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "pydicom-test-files"
    names = ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless")
    seen = {read_image((folder / f"MR_small{name}.dcm").as_posix()).pixel_sha256() for name in names}
    assert len(seen) == 1
