"""Pictures: every mode Pillow knows, upright, on black, grey kept grey, and never half of one."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import read_image

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
LOSSLESS: dict[str, dict[str, Any]] = {"png": {}, "tiff": {}, "bmp": {}, "webp": {"lossless": True}}


def saved(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def read(path: Path) -> DecodedImage:
    return read_image(path.as_posix())


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_grey_pictures_come_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    image = read(saved(tmp_path / f"a.{suffix}", Image.fromarray(RAMP), **LOSSLESS[suffix]))
    assert image.pixels.shape == (4, 6, 1)
    assert image.bit_depth == 8
    assert np.array_equal(image.pixels[..., 0], RAMP)


def test_a_jpeg_is_told_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "scan.dcm", Image.new("L", (16, 8), 77), format="JPEG")
    image = read(path)
    assert (image.width, image.height, image.channels) == (16, 8, 1)
    assert np.abs(image.pixels.astype(int) - 77).max() <= 1


def test_grey_saved_as_colour_is_one_channel_and_colour_stays_three(tmp_path: Path) -> None:
    grey = read(saved(tmp_path / "grey.png", Image.fromarray(RAMP).convert("RGB")))
    colour = read(saved(tmp_path / "colour.png", Image.new("RGB", (2, 2), (10, 20, 30))))
    assert np.array_equal(grey.pixels[..., 0], RAMP)
    assert colour.pixels[0, 0].tolist() == [10, 20, 30]


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    image = read(saved(tmp_path / "a.png", Image.fromarray(RAMP > 100)))
    assert np.array_equal(image.pixels[..., 0], np.where(RAMP > 100, 255, 0))
    assert image.bit_depth == 1


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putdata([1, 0])
    image = read(saved(tmp_path / "a.png", picture))
    assert image.pixels.tolist() == [[[0, 255, 0], [255, 0, 0]]]


def test_transparency_is_laid_on_black_and_said(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (3, 1))
    picture.putdata([(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 128)])
    image = read(saved(tmp_path / "a.png", picture))
    assert image.pixels.tolist() == [[[200, 100, 50], [0, 0, 0], [100, 50, 25]]]
    assert image.facts["alpha"] == "on black"


def test_an_opaque_alpha_channel_changes_nothing(tmp_path: Path) -> None:
    image = read(
        saved(tmp_path / "a.png", Image.merge("LA", (Image.fromarray(RAMP), Image.new("L", (6, 4), 255))))
    )
    assert np.array_equal(image.pixels[..., 0], RAMP)
    assert "alpha" not in image.facts


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = read(saved(tmp_path / "a.tiff", Image.new("CMYK", (2, 2), (0, 255, 255, 0))))
    assert image.pixels[0, 0].tolist() == [255, 0, 0]


def test_ycbcr_becomes_rgb(tmp_path: Path) -> None:
    image = read(saved(tmp_path / "a.tiff", Image.new("RGB", (2, 2), (255, 0, 0)).convert("YCbCr")))
    assert np.abs(image.pixels[0, 0].astype(int) - [255, 0, 0]).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, suffix: str) -> None:
    samples = np.array([[0, 1, 4096], [40000, 65534, 65535]], dtype=np.uint16)
    image = read(saved(tmp_path / f"a.{suffix}", Image.fromarray(samples)))
    assert image.pixels.dtype == np.uint16
    assert image.bit_depth == 16
    assert np.array_equal(image.pixels[..., 0], samples)


def test_twelve_bits_in_sixteen_fill_the_range_and_it_is_said(tmp_path: Path) -> None:
    samples = np.array([[0, 1024, 4095]], dtype=np.uint16)
    image = read(saved(tmp_path / "a.png", Image.fromarray(samples)))
    assert image.pixels.ravel().tolist() == [0, round(1024 * 65535 / 4095), 65535]
    assert image.bit_depth == 12
    assert image.facts["window"] == "12 of 16 bits in use"


def test_eight_bits_in_sixteen_are_not_nearly_black(tmp_path: Path) -> None:
    image = read(saved(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint16))))
    assert np.array_equal(image.as_uint8()[..., 0], RAMP)
    assert image.bit_depth == 8


def test_big_endian_sixteen_bits_are_read_in_their_order(tmp_path: Path) -> None:
    pixels = struct.pack(">4H", 0, 256, 513, 65535)
    tags = [(256, 4), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 8)]
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    directory = struct.pack(">H", len(tags)) + entries + bytes(4)
    path = tmp_path / "a.tiff"
    path.write_bytes(b"MM\x00*" + struct.pack(">I", 16) + pixels + directory)
    assert read(path).pixels.ravel().tolist() == [0, 256, 513, 65535]


def test_sixteen_bit_colour_says_its_depth(tmp_path: Path) -> None:
    """Pillow writes no 16-bit colour, so the PNG is put together by hand (PNG, third edition, 11.2)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    row = b"\0" + struct.pack(">3H", 65535, 32768, 0)
    path = tmp_path / "a.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b""))
    image = read(path)
    assert image.bit_depth == 16
    assert image.as_uint8().tolist() == [[[255, 128, 0]]]


def test_floats_are_stretched_over_their_robust_range_and_it_is_said(tmp_path: Path) -> None:
    samples = np.linspace(-3.0, 5.0, 1000, dtype=np.float32).reshape(20, 50)
    samples[0, 0], samples[0, 1] = 1e6, np.nan
    image = read(saved(tmp_path / "a.tiff", Image.fromarray(samples)))
    shown = image.as_uint8()[..., 0]
    assert shown[0, 0] == 255
    assert shown[0, 1] == 0
    assert abs(int(shown[10, 0]) - 128) <= 2
    assert image.facts["window"].startswith("percentiles 0.5-99.5: ")
    assert image.bit_depth == 32


def test_signed_integers_are_stretched(tmp_path: Path) -> None:
    image = read(saved(tmp_path / "a.tiff", Image.fromarray(np.array([[-100, 0, 100]], dtype=np.int32))))
    assert np.abs(image.as_uint8().ravel().astype(int) - [0, 128, 255]).max() <= 1


ORIENTATIONS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_exif_orientation_is_turned_upright_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.ascontiguousarray(ORIENTATIONS[orientation](RAMP))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(stored), exif=exif, **LOSSLESS[suffix])
    image = read(path)
    assert np.array_equal(image.pixels[..., 0], RAMP)
    assert image.facts.get("orientation") == (None if orientation == 1 else str(orientation))


def test_a_damaged_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.jpg", Image.new("L", (16, 16), 50), exif=b"Exif\0\0II*\0\xff\xff\xff\xffrubbish"
    )
    assert read(path).pixels.shape == (16, 16, 1)


def test_of_several_pages_the_first_is_read_and_it_is_said(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in (10, 20, 30)]
    image = read(saved(tmp_path / "a.tiff", pages[0], save_all=True, append_images=pages[1:]))
    assert image.pixels.max() == 10
    assert image.facts["frame"] == "1 of 3"


@pytest.mark.parametrize(("suffix", "options"), [*LOSSLESS.items(), ("jpeg", {"quality": 90})])
def test_a_truncated_picture_is_refused_or_whole_but_never_half(
    tmp_path: Path, suffix: str, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = saved(tmp_path / f"whole.{suffix}", Image.fromarray(noise), **options)
    content, pixels = whole.read_bytes(), read(whole).pixels
    refused = 0
    for kept in range(0, len(content), max(1, len(content) // 60)):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(content[:kept])
        try:
            assert np.array_equal(read(cut).pixels, pixels), f"half a picture from {kept} bytes"
        except UnreadableImage as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(tmp_path) not in str(error)
    assert refused >= 55
    assert capfd.readouterr().err == ""


def test_one_wrong_bit_in_the_pixels_of_a_png_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    content = bytearray(path.read_bytes())
    for position in range(content.index(b"IDAT") + 4, content.index(b"IEND") - 8):
        damaged = content.copy()
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UnreadableImage, match="a checksum in it is wrong"):
            read(path)


def test_a_picture_larger_than_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (4, 4)).save(buffer, format="BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "bomb.bmp").write_bytes(content)
    with pytest.raises(UnreadableImage, match="60000x60000 pixels, more than the limit"):
        read(tmp_path / "bomb.bmp")


def test_a_library_that_lets_pillow_fill_truncated_files_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as importing WeasyPrint does
    whole = saved(tmp_path / "whole.jpeg", Image.fromarray(np.full((40, 40, 3), 90, dtype=np.uint8)))
    (tmp_path / "cut.jpeg").write_bytes(whole.read_bytes()[:-60])
    with pytest.raises(UnreadableImage):
        read(tmp_path / "cut.jpeg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
