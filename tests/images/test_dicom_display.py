"""What a header says about display, in all the ways files break it: applied as it is meant, or skipped and said."""

from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image

RAMP = (np.arange(1024).reshape(32, 32) * 4).astype("<u2")  # 0..4092
TWELVE = {"BitsStored": 12, "HighBit": 11}
CURVE = np.linspace(4095, 0, 4096).astype("<u2")
INVERSE = np.rint(CURVE[RAMP] / 4095 * 255).astype(np.uint8)


def table(
    entries: NDArray[Any], first: int = 0, bits: int = 12, *, vr: str = "OW", descriptor_vr: str = "US"
) -> Dataset:
    """Return an item with the table; entries are written in their own byte order."""
    item = Dataset()
    item.add_new("LUTDescriptor", descriptor_vr, [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", vr, entries.tolist() if vr == "US" else entries.tobytes())
    return item


def raw(dataset: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Put bytes into the data set as a file would hold them, whatever its VR allows."""
    value += b" " * (len(value) % 2)
    dataset._dict[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def read(dataset: Dataset, tmp_path: Path, options: ReadOptions | None = None) -> DecodedImage:
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    return read_image((tmp_path / "a.dcm").as_posix(), options or ReadOptions())


def big_endian(dataset: Dataset) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def ramp(**elements: Any) -> Dataset:
    return dicom_image(RAMP, **(TWELVE | elements))


def grey(image: DecodedImage) -> NDArray[np.uint8]:
    return image.as_uint8()[..., 0]


# --- tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_has_the_byte_order_of_its_data_set(tmp_path: Path, keyword: str) -> None:
    dataset = big_endian(ramp(WindowCenter=2048, WindowWidth=4096))
    setattr(dataset, keyword, Sequence([table(CURVE.astype(">u2"))]))
    assert np.abs(grey(read(dataset, tmp_path)).astype(int) - INVERSE).max() <= 1


@pytest.mark.parametrize("order", ["little", "big"])
def test_eight_bit_entries_may_lie_two_in_a_word_the_first_one_low(tmp_path: Path, order: str) -> None:
    entries = np.arange(255, -1, -1, dtype=np.uint8)
    packed = entries.reshape(-1, 2)[:, ::-1].ravel() if order == "big" else entries
    dataset = dicom_image(
        np.arange(256, dtype="<u2").reshape(16, 16), VOILUTSequence=Sequence([table(packed, bits=8)])
    )
    image = read(big_endian(dataset) if order == "big" else dataset, tmp_path)
    assert np.array_equal(grey(image).ravel(), entries)


@pytest.mark.parametrize(
    ("entries", "said", "words", "most"),
    [
        (np.clip(np.arange(4096) * 1.2, 0, 4095), 16, "VOI LUT (12 bits in use, 16 said)", 4095),
        (np.arange(4096) * 16, 8, "VOI LUT (16 bits in use, 8 said)", 65535),
        (np.arange(4096) // 4, 12, "VOI LUT (10 bits in use, 12 said)", 1023),
        (np.arange(4096), 0, "VOI LUT (12 bits in use, 0 said)", 4095),
        (np.arange(4096) // 2 + 100, 12, "VOI LUT", 4095),
    ],
)
def test_entries_tell_the_range_where_the_descriptor_contradicts_them(
    tmp_path: Path, entries: NDArray[Any], said: int, words: str, most: int
) -> None:
    image = read(ramp(VOILUTSequence=Sequence([table(entries.astype("<u2"), bits=said)])), tmp_path)
    assert image.facts["window"] == words
    assert np.abs(grey(image).astype(int) - entries.astype("<u2")[RAMP] / most * 255).max() <= 0.51


def test_a_descriptor_of_no_entries_stands_for_65536(tmp_path: Path) -> None:
    dataset = dicom_image((RAMP * 16).astype("<u2"))
    dataset.VOILUTSequence = Sequence([table(np.arange(65535, -1, -1).astype("<u2"), bits=16)])
    assert dataset.VOILUTSequence[0].LUTDescriptor[0] == 0
    assert np.array_equal(
        grey(read(dataset, tmp_path)), np.rint((65535 - RAMP * 16.0) / 257).astype(np.uint8)
    )


@pytest.mark.parametrize(
    ("samples", "first", "descriptor_vr", "elements", "implicit"),
    [
        ((RAMP.astype(int) - 2048).astype("<i2"), 65536 - 2048, "US", {}, False),
        ((RAMP.astype(int) - 2048).astype("<i2"), -2048, "SS", {}, True),
        (RAMP, -1024, "SS", {"RescaleSlope": 1, "RescaleIntercept": -1024}, True),
        (RAMP, 65536 - 1024, "US", {"RescaleSlope": 1, "RescaleIntercept": -1024}, False),
        (RAMP, 65536 - 1024, "US", {"RescaleIntercept": -1024}, False),
        # Beyond 32767, and no sign: 40000 is no -25536 where values are unsigned.
        ((RAMP.astype(int) + 40000).astype("<u2"), 40000, "US", {"BitsStored": 16, "HighBit": 15}, False),
        ((RAMP.astype(int) + 40000).astype("<u2"), -25536, "SS", {"BitsStored": 16, "HighBit": 15}, False),
        (
            (RAMP.astype(int) - 2048).astype("<i2"),
            0,
            "SS",
            {"RescaleSlope": 1, "RescaleIntercept": 2048},
            True,
        ),
    ],
)
def test_the_first_value_mapped_has_the_sign_of_what_the_table_is_applied_to(
    tmp_path: Path,
    samples: NDArray[Any],
    first: int,
    descriptor_vr: str,
    elements: dict[str, Any],
    implicit: bool,
) -> None:
    curve = np.arange(4096).astype("<u2")
    dataset = dicom_image(samples, **(TWELVE | elements))
    dataset.VOILUTSequence = Sequence([table(curve, first, descriptor_vr=descriptor_vr)])
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image = read(dataset, tmp_path)
    assert image.facts["window"] == "VOI LUT"
    assert np.array_equal(grey(image), np.rint(RAMP / 4095 * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (table(CURVE, first=20000), "VOI LUT: lies beyond every value"),
        (table(np.full(4096, 700, "<u2")), "VOI LUT: maps every sample to one value"),
        (table(CURVE[:16], first=4094), "VOI LUT: maps every sample to one value"),
        (table(np.zeros(4096, "<u2")), "VOI LUT: maps every sample to one value"),
    ],
)
def test_a_table_that_shows_nothing_is_skipped_and_said(tmp_path: Path, item: Dataset, reason: str) -> None:
    image = read(ramp(VOILUTSequence=Sequence([item]), WindowCenter=2000, WindowWidth=2000), tmp_path)
    assert image.facts["window"] == f"center 2000, width 2000; skipped: {reason}"
    assert image.pixels.min() == 0
    assert image.pixels.max() == 255


def test_a_table_that_holds_fewer_entries_than_it_says_is_skipped_and_said(tmp_path: Path) -> None:
    item = table(CURVE)
    item.LUTData = item.LUTData[:-100]
    image = read(ramp(VOILUTSequence=Sequence([item]), WindowCenter=2000, WindowWidth=2000), tmp_path)
    assert image.facts["window"] == "center 2000, width 2000; skipped: VOI LUT: holds 4046 of 4096 entries"


@pytest.mark.parametrize("vr", ["OW", "US"])
def test_half_a_table_of_deep_entries_is_not_taken_for_two_in_a_word(tmp_path: Path, vr: str) -> None:
    item = table(CURVE, vr=vr)
    item.LUTData = item.LUTData[: len(item.LUTData) // 2]
    image = read(ramp(VOILUTSequence=Sequence([item]), WindowCenter=2000, WindowWidth=2000), tmp_path)
    assert image.facts["window"] == "center 2000, width 2000; skipped: VOI LUT: holds 2048 of 4096 entries"


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_an_empty_item_is_no_table_and_the_window_applies(tmp_path: Path, keyword: str) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", None)
    item.add_new("LUTData", "OW", None)
    expected = grey(read(ramp(WindowCenter=2000, WindowWidth=2000), tmp_path))
    for items in ([item], [Dataset()], []):
        dataset = ramp(WindowCenter=2000, WindowWidth=2000)
        setattr(dataset, keyword, Sequence(items))
        image = read(dataset, tmp_path)
        assert image.facts["window"] == "center 2000, width 2000"
        assert np.array_equal(grey(image), expected)


def test_the_first_table_that_can_be_used_is_the_one(tmp_path: Path) -> None:
    image = read(ramp(VOILUTSequence=Sequence([Dataset(), table(CURVE)])), tmp_path)
    assert image.facts["window"] == "VOI LUT"
    assert np.array_equal(grey(image), INVERSE)


def test_a_modality_table_that_cannot_be_used_makes_the_window_meaningless(tmp_path: Path) -> None:
    dataset = ramp(
        ModalityLUTSequence=Sequence([table(CURVE, first=20000)]), WindowCenter=40, WindowWidth=400
    )
    words = read(dataset, tmp_path).facts["window"]
    assert words.startswith("percentiles 0.5-99.5: ")
    assert "skipped: Modality LUT: lies beyond every value; skipped: window: in modality values" in words
    with pytest.raises(
        UnreadableImage, match="a window is asked for, and Modality LUT: lies beyond every value"
    ):
        read(dataset, tmp_path, ReadOptions(window=(40, 400)))


# --- windows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centre", "width", "words"),
    [
        (b"abc", b"400", "skipped: window: Window Center 'abc' is no number"),
        (b"40", b"4OO", "skipped: window: Window Width '4OO' is no number"),
        (b"40,5", b"400", "skipped: window: Window Center '40,5' is no number"),
        (b"40", b"0", "skipped: window: width 0, too narrow for LINEAR"),
        (b"40", b"-5", "skipped: window: width -5, too narrow for LINEAR"),
        (b"40", b"0.5", "skipped: window: width 0.5, too narrow for LINEAR"),
        (b"nan", b"400", "skipped: window: Window Center 'nan' is no number"),
        (b"40", b"inf", "skipped: window: Window Width 'inf' is no number"),
        (b"40", b"", "skipped: window: Window Center alone"),
        (b"", b"400", "skipped: window: Window Width alone"),
        (b"\\40", b"400", "skipped: window: Window Center alone"),
    ],
)
def test_a_window_that_cannot_be_used_is_skipped_and_said(
    tmp_path: Path, centre: bytes, width: bytes, words: str
) -> None:
    dataset = ramp()
    raw(dataset, "WindowCenter", "DS", centre)
    raw(dataset, "WindowWidth", "DS", width)
    image = read(dataset, tmp_path)
    assert image.facts["window"].startswith("percentiles 0.5-99.5: ")
    assert image.facts["window"].endswith(words)
    assert image.pixels.max() == 255


def test_of_several_windows_the_first_that_can_be_used_is(tmp_path: Path) -> None:
    image = read(ramp(WindowCenter=[1, 2048], WindowWidth=[0, 4096]), tmp_path)
    assert image.facts["window"] == "center 2048, width 4096"
    dataset = ramp()
    raw(dataset, "WindowCenter", "DS", b"\\2048")
    raw(dataset, "WindowWidth", "DS", b"7\\4096")
    assert read(dataset, tmp_path).facts["window"] == "center 2048, width 4096"


@pytest.mark.parametrize("spelt", [b"sigmoid ", b"SIGMOID", b" Sigmoid"])
def test_a_function_is_known_however_it_is_spelt(tmp_path: Path, spelt: bytes) -> None:
    dataset = ramp(WindowCenter=2048, WindowWidth=1000)
    raw(dataset, "VOILUTFunction", "CS", spelt)
    image = read(dataset, tmp_path)
    assert image.facts["window"] == "center 2048, width 1000, SIGMOID"
    assert np.array_equal(grey(image), np.rint(255 / (1 + np.exp(-4 * (RAMP - 2048.0) / 1000))))


@pytest.mark.parametrize("spelt", [b"linear exact", b"Linear_Exact"])
def test_an_exact_window_has_no_least_width(tmp_path: Path, spelt: bytes) -> None:
    dataset = ramp(WindowCenter=2048, WindowWidth=0.5)
    raw(dataset, "VOILUTFunction", "CS", spelt)
    assert read(dataset, tmp_path).facts["window"] == "center 2048, width 0.5, LINEAR_EXACT"


def test_an_unknown_function_is_linear_and_said(tmp_path: Path) -> None:
    dataset = ramp(WindowCenter=2048, WindowWidth=4096)
    raw(dataset, "VOILUTFunction", "CS", b"CUBIC ")
    image = read(dataset, tmp_path)
    said = "center 2048, width 4096; skipped: VOI LUT Function 'CUBIC' is unknown, LINEAR instead"
    assert image.facts["window"] == said


def test_a_window_beyond_every_sample_is_said(tmp_path: Path) -> None:
    image = read(ramp(WindowCenter=-5000, WindowWidth=400), tmp_path)
    assert image.facts["window"] == "center -5000, width 400, every sample beyond it"


# --- rescale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        ("2", None, RAMP * 2.0),
        ("2", "", RAMP * 2.0),
        (None, "-1000", RAMP - 1000.0),
        ("", "-1000", RAMP - 1000.0),
    ],
)
def test_half_a_rescale_has_slope_1_or_intercept_0(
    tmp_path: Path, slope: str | None, intercept: str | None, expected: NDArray[Any]
) -> None:
    dataset = ramp(WindowCenter=1000, WindowWidth=2000)
    if slope is not None:
        raw(dataset, "RescaleSlope", "DS", slope.encode())
    if intercept is not None:
        raw(dataset, "RescaleIntercept", "DS", intercept.encode())
    right = np.clip((expected - 999.5) / 1999 + 0.5, 0, 1) * 255
    assert np.array_equal(grey(read(dataset, tmp_path)), np.rint(right).astype(np.uint8))


@pytest.mark.parametrize(
    ("slope", "reason"),
    [
        (b"0", "Rescale Slope is 0"),
        (b"abc", "Rescale Slope 'abc' is no number"),
        (b"1\\2", "Rescale Slope has 2 values, where one belongs"),
    ],
)
def test_a_rescale_that_cannot_be_used_is_said_and_no_window_is_applied(
    tmp_path: Path, slope: bytes, reason: str
) -> None:
    dataset = ramp(RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    raw(dataset, "RescaleSlope", "DS", slope)
    image = read(dataset, tmp_path)
    assert image.facts["window"].startswith("percentiles ")
    assert f"; skipped: {reason}; skipped: window: in modality values" in image.facts["window"]
    assert image.pixels.max() == 255
    with pytest.raises(UnreadableImage, match=reason):
        read(dataset, tmp_path, ReadOptions(window=(40, 400)))


def test_the_same_value_twice_is_one_value(tmp_path: Path) -> None:
    dataset = ramp(RescaleIntercept=0, WindowCenter=4096, WindowWidth=8192)
    raw(dataset, "RescaleSlope", "DS", b"2\\2")
    assert read(dataset, tmp_path).facts["window"] == "center 4096, width 8192"


def test_an_identity_is_no_rescale(tmp_path: Path) -> None:
    image = read(dicom_image(np.array([[3, 100]], "u1"), RescaleSlope=1, RescaleIntercept=0), tmp_path)
    assert image.pixels.ravel().tolist() == [3, 100]
    assert image.facts["window"] == "none: all 8 bits"


# --- padding --------------------------------------------------------------------------------------------------


def padded(value: int) -> NDArray[Any]:
    samples = np.full((20, 20), value, dtype="<i2" if value < 0 else "<u2")
    samples[5:15, 5:15] = np.arange(100).reshape(10, 10)
    return samples


@pytest.mark.parametrize(
    ("samples", "vr", "value", "limit"),
    [
        (padded(-2000), "SS", -2000, None),
        (padded(-2000), "US", 65536 - 2000, None),
        (padded(63536), "SS", -2000, None),
        (padded(-2000), "US", 65536 - 2100, 65536 - 1900),
        (padded(-2000), "SS", -1900, -2100),
    ],
)
def test_padding_has_the_sign_of_the_pixels(
    tmp_path: Path, samples: NDArray[Any], vr: str, value: int, limit: int | None
) -> None:
    dataset = dicom_image(samples)
    dataset.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", vr, limit)
    assert read(dataset, tmp_path).facts["window"] == "percentiles 0.5-99.5: 0.495..98.505"


def test_twelve_bit_padding_is_told_by_the_bits_it_has(tmp_path: Path) -> None:
    dataset = dicom_image(padded(-2000), **TWELVE)
    dataset.add_new("PixelPaddingValue", "US", 4096 - 2000)
    assert read(dataset, tmp_path).facts["window"] == "percentiles 0.5-99.5: 0.495..98.505"


def test_padding_that_would_be_every_sample_is_skipped_and_said(tmp_path: Path) -> None:
    words = read(ramp(PixelPaddingValue=0, PixelPaddingRangeLimit=4095), tmp_path).facts["window"]
    assert words.endswith("skipped: Pixel Padding Value: every sample would be padding")


def test_padding_that_cannot_be_read_is_skipped_and_said(tmp_path: Path) -> None:
    dataset = ramp()
    raw(dataset, "PixelPaddingValue", "LO", b"none")
    assert (
        read(dataset, tmp_path).facts["window"].endswith("; skipped: Pixel Padding Value 'none' is no number")
    )


# --- bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["native", "RLE", "big endian"])
@pytest.mark.parametrize("kind", ["<u2", "<i2"])
@pytest.mark.parametrize("high", [15, 13])
def test_the_sample_is_the_bits_from_high_bit_down(tmp_path: Path, coding: str, kind: str, high: int) -> None:
    signed = kind == "<i2"
    values = RAMP.astype(int) - 2048 if signed else RAMP.astype(int)
    noise = np.random.default_rng(0).integers(0, 1 << (high - 11), RAMP.shape)  # an overlay in the bits below
    dataset = dicom_image(
        ((values << (high - 11)) + noise).astype(kind), WindowCenter=values.mean(), WindowWidth=4096
    )
    dataset.BitsStored, dataset.HighBit = 12, high
    expected = np.rint(np.clip((values - values.mean() + 0.5) / 4095 + 0.5, 0, 1) * 255)
    if coding == "RLE":
        dataset.compress(RLELossless)
    image = read(big_endian(dataset) if coding == "big endian" else dataset, tmp_path)
    assert np.array_equal(grey(image), expected.astype(np.uint8))
    assert image.facts["note"] == f"High Bit {high} with Bits Stored 12: samples are the bits from it down"


def test_bits_in_use_above_high_bit_are_left_out_and_said(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    plain, signed = RAMP, (RAMP.astype(int) - 2048).astype("<i2")  # copies of the sign are not in use
    for samples, words in (
        (plain, None),
        (plain | 1 << 15, "the bits above High Bit are in use, and left out"),
        (signed, None),
    ):
        elements = TWELVE | window | ({"WindowCenter": 0} if samples is signed else {})
        image = read(dicom_image(samples, **elements), tmp_path)
        assert image.facts.get("note") == words
        assert np.array_equal(grey(image), np.rint(RAMP / 4095 * 255).astype(np.uint8))


CODERS: dict[UID, Any] = {
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLosslessSV1: partial(imagecodecs.ljpeg_encode, bitspersample=16),
    JPEG2000Lossless: partial(imagecodecs.jpeg2k_encode, level=0, codecformat="j2k"),
}


def coded(samples: NDArray[Any], syntax: UID, **elements: Any) -> Dataset:
    dataset = dicom_image(samples, **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([CODERS[syntax](samples)])
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize("syntax", CODERS)
def test_a_frame_of_more_bits_than_are_said_is_no_sawtooth(tmp_path: Path, syntax: UID) -> None:
    window = {"WindowCenter": 32768, "WindowWidth": 65536}
    image = read(coded(RAMP * 16, syntax, **(TWELVE | window)), tmp_path)
    assert image.facts["note"] == "Bits Stored 12, and a frame of 16 bits: all are taken"
    assert image.bit_depth == 16
    assert np.array_equal(grey(image), np.rint(RAMP * 16 / 65535.0 * 255).astype(np.uint8))
    image = read(coded(RAMP, syntax, **TWELVE, WindowCenter=2048, WindowWidth=4096), tmp_path)
    assert (image.bit_depth, "note" in image.facts) == (12, False)
    assert np.array_equal(grey(image), np.rint(RAMP / 4095 * 255).astype(np.uint8))
    dataset = coded(RAMP, syntax, BitsAllocated=8, BitsStored=8, HighBit=7)
    with pytest.raises(UnreadableImage, match="Bits Allocated 8, and a frame of 16 bits"):
        read(dataset, tmp_path)


@pytest.mark.parametrize(
    ("kind", "said", "note"),
    [("<i2", 0, "a sign, by the header none"), ("<u2", 1, "no sign, by the header one")],
)
def test_a_frame_whose_samples_have_a_sign_where_the_header_says_otherwise_is_said(
    tmp_path: Path, kind: str, said: int, note: str
) -> None:
    dataset = coded((RAMP.astype(int) // 2 - 2048 * (1 - said)).astype(kind), JPEG2000Lossless)
    dataset.PixelRepresentation = said
    assert read(dataset, tmp_path).facts["note"] == f"samples of the frame have {note}"
    dataset.PixelRepresentation = 1 - said
    assert "note" not in read(dataset, tmp_path).facts


@pytest.mark.parametrize(("stored", "high"), [(12, 7), (12, 16), (12, 0)])
def test_a_high_bit_that_cannot_be_is_refused(tmp_path: Path, stored: int, high: int) -> None:
    with pytest.raises(
        UnreadableImage, match=f"High Bit {high} with Bits Stored {stored} and Bits Allocated 16"
    ):
        read(ramp(BitsStored=stored, HighBit=high), tmp_path)


def test_more_bits_stored_than_allocated_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="Bits Stored"):
        read(ramp(BitsStored=20, HighBit=19), tmp_path)


@pytest.mark.parametrize("kind", ["<u4", "<i4"])
def test_thirty_two_bits_are_read(tmp_path: Path, kind: str) -> None:
    samples = np.linspace(-2e9 if kind == "<i4" else 0, 2e9, 256).reshape(16, 16).astype(kind)
    image = read(dicom_image(samples, WindowCenter=float(samples.mean()), WindowWidth=4.1e9), tmp_path)
    assert np.all(np.diff(image.pixels.ravel().astype(int)) >= 0)
    assert image.bit_depth == 32


@pytest.mark.parametrize("inverted", [False, True])
def test_one_bit_is_black_and_white(tmp_path: Path, inverted: bool) -> None:
    dataset = dicom_image(np.zeros((4, 8), "u1"), BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.PixelData = np.packbits(np.tile([1, 0], 16), bitorder="little").tobytes()
    assert read(dataset, tmp_path).pixels.ravel()[:4].tolist() == ([0, 255] * 2 if inverted else [255, 0] * 2)


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
@pytest.mark.parametrize("inverted", [False, True])
def test_floating_point_is_windowed_and_inverted(
    tmp_path: Path, keyword: str, kind: str, inverted: bool
) -> None:
    dataset = dicom_image(
        np.zeros((1, 3), "<u4" if kind == "<f4" else "<u8"), WindowCenter=0.5, WindowWidth=1
    )
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.VOILUTFunction = "LINEAR_EXACT"
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    setattr(dataset, keyword, np.array([0.0, 0.25, 1.0], kind).tobytes())
    shown = read(dataset, tmp_path).pixels.ravel().tolist()
    assert shown == ([255, 191, 0] if inverted else [0, 64, 255])


# --- palettes and colour --------------------------------------------------------------------------------------


def palette(indices: NDArray[Any], entries: NDArray[Any], first: int, bits: int, **elements: Any) -> Dataset:
    dataset = dicom_image(indices, PhotometricInterpretation="PALETTE COLOR", **elements)
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        dataset.add_new(f"{name}Descriptor", "US", [len(entries) & 0xFFFF, first & 0xFFFF, bits])
        values = entries if colour == "Red" else entries[::-1]
        dataset.add_new(f"{name}Data", "OW", values.tobytes())
    return dataset


BYTES = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize(
    ("entries", "bits"),
    [
        (BYTES.astype("<u2") * 257, 16),
        (BYTES.astype("<u2"), 16),  # 16 said, 8 used
        (BYTES.astype("<u2"), 8),  # a word each
        (BYTES, 8),  # two a word
        (BYTES.astype("<u2") * 257, 8),  # 8 said, 16 used
        ((BYTES * 16.06).astype("<u2"), 16),  # 16 said, 12 used
    ],
)
def test_palette_entries_fill_the_range_they_use(tmp_path: Path, entries: NDArray[Any], bits: int) -> None:
    image = read(palette(BYTES.reshape(16, 16), entries, 0, bits), tmp_path)
    assert np.abs(image.pixels[..., 0].ravel().astype(int) - BYTES).max() <= 1
    assert np.abs(image.pixels[..., 1].ravel().astype(int) - BYTES[::-1]).max() <= 1


def test_a_palette_of_a_big_endian_file_and_signed_indices(tmp_path: Path) -> None:
    indices = (BYTES.astype(int) - 128).reshape(16, 16)
    dataset = palette(indices.astype("<i2"), BYTES.astype(">u2") * 257, -128, 16)
    assert np.array_equal(read(big_endian(dataset), tmp_path).pixels[..., 0].ravel(), BYTES)


def test_a_segmented_palette_is_expanded_within_bounds(tmp_path: Path) -> None:
    dataset = palette(BYTES.reshape(16, 16), BYTES, 0, 16)
    segments = np.array([0, 1, 0, 1, 255, 65535], "<u2")  # one entry, 0, and a line of 255 up to 65535
    for colour in ("Red", "Green", "Blue"):
        del dataset[f"{colour}PaletteColorLookupTableData"]
        dataset.add_new(f"Segmented{colour}PaletteColorLookupTableData", "OW", segments.tobytes())
    assert np.array_equal(read(dataset, tmp_path).pixels[..., 0].ravel(), BYTES)
    dataset.add_new("SegmentedGreenPaletteColorLookupTableData", "OW", segments[[0, 1, 2]].tobytes())
    with pytest.raises(UnreadableImage, match="a palette image, and holds 1 of 256 entries"):
        read(dataset, tmp_path)
    bomb = np.array([0, 1, 0] + [1, 65535, 0] * 5000, "<u2")
    dataset.add_new("SegmentedRedPaletteColorLookupTableData", "OW", bomb.tobytes())
    with pytest.raises(UnreadableImage, match="segments unpack to more than 65,536 entries"):
        read(dataset, tmp_path)


def test_a_palette_that_is_missing_or_beyond_is_refused(tmp_path: Path) -> None:
    dataset = palette(BYTES.reshape(16, 16), BYTES, 5000, 8)
    with pytest.raises(UnreadableImage, match="a palette image, and lies beyond every value"):
        read(dataset, tmp_path)
    del dataset.BluePaletteColorLookupTableData, dataset.RedPaletteColorLookupTableDescriptor
    with pytest.raises(UnreadableImage, match="a palette image, and the red palette is missing"):
        read(dataset, tmp_path)


def test_colour_of_twelve_bits_in_sixteen_is_not_black(tmp_path: Path) -> None:
    image = read(dicom_image(np.array([[[4095, 2048, 0]]], dtype="<u2")), tmp_path)
    assert image.pixels.tolist() == [[[255, 128, 0]]]
    assert image.facts["window"] == "12 of 16 bits in use"


@pytest.mark.parametrize("space", ["YBR_PARTIAL_420", "CMYK", "HSV", "YBR_RCT", "YBR_ICT"])
def test_a_colour_space_that_nobody_converts_is_refused(tmp_path: Path, space: str) -> None:
    dataset = dicom_image(np.full((4, 4, 3), 90, "u1"), PhotometricInterpretation=space)
    with pytest.raises(UnreadableImage):
        read(dataset, tmp_path)


def test_one_sample_a_pixel_is_no_colour(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="one sample a pixel in RGB"):
        read(dicom_image(np.full((4, 4), 90, "u1"), PhotometricInterpretation="RGB"), tmp_path)


def test_planes_of_colour_are_put_together(tmp_path: Path) -> None:
    colours = np.arange(48, dtype="u1").reshape(4, 4, 3)
    dataset = dicom_image(colours, PlanarConfiguration=1)
    dataset.PixelData = colours.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read(dataset, tmp_path).pixels, colours)


# --- frames ---------------------------------------------------------------------------------------------------


def groups(**values: Any) -> Dataset:
    item, macro = Dataset(), Dataset()
    for keyword, value in values.items():
        setattr(macro, keyword, value)
    item.FrameVOILUTSequence = Sequence([macro])
    return item


def test_a_frame_without_a_window_of_its_own_has_the_shared_one(tmp_path: Path) -> None:
    samples = np.stack([np.array([[0, 50]], "<i2")] * 2)
    dataset = dicom_image(samples, WindowCenter=1000, WindowWidth=1)
    dataset.SharedFunctionalGroupsSequence = Sequence([groups(WindowCenter=50.5, WindowWidth=101)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [groups(), groups(WindowCenter=75.5, WindowWidth=101)]
    )
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    path = (tmp_path / "a.dcm").as_posix()
    assert read_image(f"{path}#frame/0").facts["window"] == "center 50.5, width 101"
    assert read_image(f"{path}#frame/1").facts["window"] == "center 75.5, width 101"


def floats(samples: NDArray[np.float32], **elements: Any) -> Dataset:
    """Return a data set with Float Pixel Data (PS3.3 C.7.6.24)."""
    dataset = dicom_image(np.zeros(samples.shape, np.uint16), BitsAllocated=32, **elements)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, keyword)
    dataset.FloatPixelData = samples.astype("<f4").tobytes()
    return dataset


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 4000}])
def test_float_pixels_that_are_no_number_are_counted_and_an_image_of_none_is_refused(
    tmp_path: Path, window: dict[str, int]
) -> None:
    samples = RAMP.astype(np.float32)
    samples[0, :5] = [np.nan, np.nan, np.inf, -np.inf, np.nan]
    path = tmp_path / "a.dcm"
    floats(samples, **window).save_as(path, enforce_file_format=True)
    assert read_image(path.as_posix()).facts["window"].endswith("; 5 samples are no finite number")
    samples[:] = np.nan
    floats(samples, **window).save_as(path, enforce_file_format=True)
    with pytest.raises(UnreadableImage, match="no sample of the image is a finite number"):
        read_image(path.as_posix())


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_pixels_whose_spacing_is_not_square_are_said(tmp_path: Path, keyword: str) -> None:
    for sides, said in ((["0.5", "2"], True), (["0.5", "0.501"], False), (["0.5", ""], False)):
        path = tmp_path / "a.dcm"
        dicom_image(RAMP, **{keyword: sides}).save_as(path, enforce_file_format=True)
        assert ("not square" in read_image(path.as_posix()).facts.get("note", "")) is said
