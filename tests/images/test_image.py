"""One decoded image, and how files are told apart."""

import numpy as np
import pytest

from medimg_cli.images.image import (
    DecodedImage,
    collapse_grey,
    frame_number,
    sniff_format,
    split_frame,
    split_member,
)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("set.npz#train/12", ("set.npz", "train/12")),
        ("a/b.NPZ#x", ("a/b.NPZ", "x")),
        ("a.tar.gz#b/c.png", ("a.tar.gz", "b/c.png")),
        ("image #3.png", ("image #3.png", None)),
        ("set.npz", ("set.npz", None)),
        ("set.npz#", ("set.npz#", None)),
        ("stack.npy#12", ("stack.npy", "12")),
        ("a.zip#x #3.png", ("a.zip", "x #3.png")),
        ("a.zip#b.zip#c.png", ("a.zip", "b.zip#c.png")),
        ("a.tgz#scan.dcm#frame/3", ("a.tgz", "scan.dcm#frame/3")),
        ("scan.dcm#frame/3", ("scan.dcm", "frame/3")),
        ("no suffix#page/0", ("no suffix", "page/0")),
        ("two\nlines.tar#a\nb.png", ("two\nlines.tar", "a\nb.png")),
        ("scan.dcm#frame/x", ("scan.dcm#frame/x", None)),
        ("scan.dcm#frame/-1", ("scan.dcm#frame/-1", None)),
    ],
)
def test_a_member_is_named_behind_an_archive_only(path: str, parts: tuple[str, str | None]) -> None:
    assert split_member(path) == parts


def test_a_frame_is_told_from_a_name() -> None:
    assert split_frame("a/b.dcm#frame/12") == ("a/b.dcm", 12)
    assert split_frame("a/b.dcm#12") == ("a/b.dcm#12", None)
    assert frame_number("page/3") == 3
    assert frame_number("train/3") is None
    assert frame_number("frame/" + "9" * 30) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"II+\x00", "tiff"),
        (b"BM6", "bmp"),
        (b"PK\x03\x04", "zip"),
        (b"RIFF\x01\x00\x00\x00WEBPVP8 ", "webp"),
        (b"RIFF\x01\x00\x00\x00WAVEfmt ", None),
        (bytes(128) + b"DICM", "dicom"),
        (b"\xff\xd8\xff" + bytes(125) + b"DICM", "dicom"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "dicom"),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100", "dicom"),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100", "dicom"),
        (b"\x02\x00\x00\x00UL\x04\x00", "dicom"),
        (b"\x08\x00 some text", None),
        (b"GIF89a", "gif"),
        (b"GIF88a", None),
        (b"P5\n# Jane\n# Roe\r\n12 13\n255\n", "netpbm"),
        (b"P5 of the visit", None),
        (b"P7\n12 13\n", None),
        (b"PK\x05\x06", "zip"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", None),
        (b"PK\x03\x04" + bytes(26) + b"docProps/app.xml", None),
        (b"PK\x03\x04" + bytes(26) + b"xl/worksheets/sheet1.xml", None),
        (b"PK\x03\x04" + bytes(26) + b"word/document.xml", None),
        (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.text", None),
        (b"PK\x03\x04" + bytes(26) + b"xl/SICK/1.png", "zip"),
        (b"PK\x03\x04" + bytes(26) + b"mimetype/1.png", "zip"),
        (b"PK\x03\x04" + bytes(26) + b"train_images.npy", "npz"),
        (b"PK\x03\x04" + bytes(26) + b"folder/stack.npy", "zip"),
        (b"\x93NUMPY", "npy"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"BM.png".ljust(257, b"\x00") + b"ustar", "tar"),
        (b"", None),
    ],
)
def test_formats_are_told_by_their_first_bytes(head: bytes, name: str | None) -> None:
    assert sniff_format(head) == name


def test_the_hash_of_pixels_knows_shape_and_type() -> None:
    blank = np.zeros((1, 2, 1), dtype=np.uint8)
    hashes = {
        DecodedImage(pixels, 8).pixel_sha256()
        for pixels in (
            blank,
            blank.reshape(2, 1, 1),
            blank.astype(np.uint16),
            np.zeros((1, 1, 1), dtype=np.uint16),
        )
    }
    assert len(hashes) == 4


def test_the_hash_of_pixels_does_not_know_how_they_lie_in_memory() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    view = np.asfortranarray(pixels)
    assert DecodedImage(view, 8).pixel_sha256() == DecodedImage(pixels, 8).pixel_sha256()


def test_sixteen_bits_are_rounded_to_eight() -> None:
    samples = np.array([0, 128, 129, 385, 386, 65406, 65407, 65535], dtype=np.uint16).reshape(1, 8, 1)
    expected = np.rint(samples / 257).astype(int).ravel().tolist()
    assert DecodedImage(samples, 16).as_uint8().ravel().tolist() == expected


def test_eight_bits_are_handed_on() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 6, 1)
    image = DecodedImage(pixels, 8)
    assert np.array_equal(image.as_uint8(), pixels)
    assert (image.width, image.height, image.channels) == (6, 1, 1)


def test_only_equal_channels_collapse() -> None:
    grey = np.repeat(np.arange(4, dtype=np.uint8).reshape(2, 2, 1), 3, axis=2)
    almost = grey.copy()
    almost[1, 1, 2] += 1
    assert collapse_grey(grey).shape == (2, 2, 1)
    assert collapse_grey(almost).shape == (2, 2, 3)
    tall = np.repeat(grey[:1], 40, axis=0)
    tall[39, 0, 2] += 1  # a single sample, in a row that the first look leaves out
    assert collapse_grey(tall).shape == (40, 2, 3)
    assert collapse_grey(grey[..., :1]).shape == (2, 2, 1)
