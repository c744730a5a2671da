"""PNG of 16 bits in every colour type, JPEG of 12 bits, JPEG 2000, AVIF and HEIC."""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import read_image

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG third edition, 11.2.1
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples: NDArray[Any], colour: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """Return a PNG of samples (H, W) or (H, W, C), uint8 or uint16."""
    height, width = samples.shape[:2]
    bits = samples.dtype.itemsize * 8
    passes = [(x, y, dx, dy) for x, y, dx, dy in _ADAM7] if interlaced else [(0, 0, 1, 1)]
    rows = b"".join(
        b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes()
        for x, y, dx, dy in passes
        for row in samples[y::dy, x::dx]
        if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    body = extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def read(path: Path, content: bytes | bytearray) -> DecodedImage:
    path.write_bytes(content)
    return read_image(path.as_posix())


RAMP = (np.arange(1024).reshape(32, 32) * 64).astype(np.uint16)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("divisor", [1, 16, 257])
def test_a_grey_picture_looks_the_same_saved_as_grey_or_colour(
    tmp_path: Path, divisor: int, interlaced: bool
) -> None:
    samples = (RAMP // divisor).astype(np.uint16)
    grey = read(tmp_path / "a.png", png(samples, GREY, interlaced=interlaced))
    three = np.stack([samples] * 3, -1)
    full = np.full_like(samples, 65535)
    for content in (
        png(three, RGB, interlaced=interlaced),
        png(np.dstack([three, full]), RGBA, interlaced=interlaced),
        png(np.dstack([samples, full]), GREY_ALPHA, interlaced=interlaced),
        png(three, RGB, extra=chunk(b"gAMA", struct.pack(">I", 45455))),
    ):
        image = read(tmp_path / "b.png", content)
        assert np.array_equal(image.pixels, grey.pixels)
        assert image.facts == grey.facts
        assert image.bit_depth == grey.bit_depth


@pytest.mark.parametrize("colour", [GREY_ALPHA, RGBA])
def test_sixteen_bit_cover_lies_on_black(tmp_path: Path, colour: int) -> None:
    channels = 2 if colour == GREY_ALPHA else 4
    samples = np.full((2, 2, channels), 60000, np.uint16)
    samples[..., -1] = [[65535, 0], [32768, 65535]]
    image = read(tmp_path / "a.png", png(samples, colour))
    assert image.pixels[..., 0].ravel().tolist() == [60000, 0, 30000, 60000]
    assert image.facts["alpha"] == "on black"


def test_one_transparent_value_of_sixteen_bits_is_black(tmp_path: Path) -> None:
    samples = np.array([[50000, 60000]], np.uint16)
    grey = read(tmp_path / "a.png", png(samples, GREY, extra=chunk(b"tRNS", struct.pack(">H", 60000))))
    assert grey.pixels.ravel().tolist() == [50000, 0]
    colour = png(np.stack([samples] * 3, -1), RGB, extra=chunk(b"tRNS", struct.pack(">3H", *[60000] * 3)))
    assert read(tmp_path / "b.png", colour).pixels.ravel().tolist() == [50000, 0]


def test_twelve_bit_jpeg_is_read_over_its_range(tmp_path: Path) -> None:
    samples = (np.arange(64 * 64).reshape(64, 64)).astype(np.uint16)
    content = imagecodecs.jpeg_encode(samples, bitspersample=12, level=98)
    image = read(tmp_path / "a.jpg", content)
    assert image.bit_depth == 12
    assert np.abs(image.pixels[..., 0].astype(int) - samples.astype(int) * 65535 // 4095).max() < 65535 * 0.02
    for kept in range(100, len(content), 300):
        with pytest.raises(UnreadableImage):
            read(tmp_path / "b.jpg", content[:kept])


@pytest.mark.parametrize(
    "content",
    [
        imagecodecs.jpeg_encode(RAMP >> 4, bitspersample=12, level=98),
        imagecodecs.ljpeg_encode(RAMP[::-1] ^ RAMP.T // 7, bitspersample=16),
    ],
)
def test_a_deep_jpeg_is_turned_upright_may_have_a_tail_and_is_no_half(tmp_path: Path, content: bytes) -> None:
    whole = read(tmp_path / "a.jpg", content).pixels
    exif = Image.Exif()
    exif[274] = 6  # a quarter clockwise
    block = exif.tobytes()
    turned = content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:] + b"tail"
    image = read(tmp_path / "b.jpg", turned)
    assert image.facts["orientation"] == "6"
    assert np.array_equal(image.pixels, np.rot90(whole, -1))
    with pytest.raises(UnreadableImage, match="the file is truncated: its samples end"):
        read(tmp_path / "c.jpg", content[: len(content) // 2] + b"\xff\xd9")


def jpeg_2000(samples: NDArray[Any], space: int, bits: int = 8) -> bytes:
    content = bytearray(imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=bits, codecformat="jp2"))
    place = content.index(b"colr") + 7
    content[place : place + 4] = struct.pack(">I", space)
    return bytes(content)


@pytest.mark.parametrize("bits", [1, 4, 7])
def test_jpeg_2000_of_few_bits_fills_the_range(tmp_path: Path, bits: int) -> None:
    samples = (RAMP >> (16 - bits)).astype(np.uint8)
    content = jpeg_2000(samples, 17, bits)
    behind = struct.pack(">I4s", 24, b"uuid") + bytes(16)  # a box behind the codestream is allowed
    for number, one in enumerate((content, content + behind)):
        image = read(tmp_path / f"{number}.jp2", one)
        assert image.bit_depth == bits
        expected = np.rint(samples / ((1 << bits) - 1) * 255)
        assert np.abs(image.as_uint8()[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("space", [12, 14, 21])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_jpeg_2000_in_a_colour_space_that_nobody_converts_is_refused(
    tmp_path: Path, space: int, kind: type[Any]
) -> None:
    samples = np.dstack([RAMP] * 3).astype(kind)
    with pytest.raises(UnreadableImage, match=f"JPEG 2000 in colour space {space}, which is not converted"):
        read(tmp_path / "a.jp2", jpeg_2000(samples, space, samples.itemsize * 8))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("form", ["jp2", "j2k"])
def test_jpeg_2000_keeps_its_depth(tmp_path: Path, bits: int, colour: bool, form: str) -> None:
    most = (1 << bits) - 1
    grey = np.linspace(0, most, 1024).reshape(32, 32).astype(np.uint16 if bits > 8 else np.uint8)
    samples = np.dstack([grey, grey[::-1], grey.T]) if colour else grey
    content = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(samples), reversible=True, bitspersample=bits, codecformat=form
    )
    image = read(tmp_path / "a.jp2", content)
    assert image.bit_depth == bits
    expected = np.rint(samples.reshape(32, 32, -1).astype(float) / most * 255)
    assert np.abs(image.as_uint8().astype(int) - expected).max() <= 1
    for kept in range(100, len(content) - 1, max(1, len(content) // 10)):
        with pytest.raises(UnreadableImage):
            read(tmp_path / "b.jp2", content[:kept])


def test_avif_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray((RAMP // 257).astype(np.uint8)).convert("RGB").save(buffer, "AVIF", quality=100)
    image = read(tmp_path / "a.avif", buffer.getvalue())
    assert np.abs(image.as_uint8()[..., 0].astype(int) - RAMP // 257).max() <= 4


def test_heic_is_read_with_its_library_and_names_it_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    grey = Image.fromarray((np.arange(64 * 64).reshape(64, 64) // 16).astype(np.uint8)).convert("RGB")
    heif.from_pillow(grey).save(path, quality=100)
    image = read_image(path.as_posix())
    assert np.abs(image.as_uint8()[..., 0].astype(int) - np.asarray(grey)[..., 0]).max() <= 6
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match=r"pip install 'medimg\[heic\]'"):
        read_image(path.as_posix())
