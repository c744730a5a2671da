"""Pictures at the edge of what is one: each is read right or refused with its reason, never something in between."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import frame_count, read_image
from medimg_cli.preprocessing.recipe import Recipe


def read(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return path.as_posix()


def encoded(picture: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=image_format, **options)
    return buffer.getvalue()


def test_a_tiff_without_a_single_finite_number_is_refused(tmp_path: Path) -> None:
    empty = encoded(Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "TIFF")
    with pytest.raises(UnreadableImage, match="no sample of the image is a finite number"):
        read_image(read(tmp_path / "a.tiff", empty))


def test_a_tiff_with_some_nan_is_shown_and_they_are_counted(tmp_path: Path) -> None:
    samples = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    samples[3, 3:6] = [np.nan, np.inf, -np.inf]
    image = read_image(read(tmp_path / "a.tiff", encoded(Image.fromarray(samples), "TIFF")))
    assert image.facts["window"].endswith("; 3 samples are no finite number")
    assert image.pixels[3, 3:6, 0].tolist() == [0, 65535, 0]


@pytest.mark.parametrize("size", [(1, 1), (30_000, 10), (10, 30_000), (1, 5_000), (5, 5_000)])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF"])
def test_the_smallest_and_the_longest_pictures_go_through_a_recipe(
    tmp_path: Path, size: tuple[int, int], image_format: str
) -> None:
    recipe = Recipe(size_px=32, channels=1)
    path = read(tmp_path / "a", encoded(Image.new("L", size, 200), image_format))
    image = read_image(path, recipe.read_options)
    square = recipe.apply(image)
    assert square.shape == (32, 32, 1)
    assert square.max() == 200


def test_a_png_that_claims_more_than_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    path = read(tmp_path / "bomb.png", b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImage, match="100000x100000 pixels, more than the limit"):
        read_image(path)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    red = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    pixels = read_image(read(tmp_path / "a.jpg", red)).pixels
    assert np.abs(pixels[8, 8].astype(int) - [255, 0, 0]).max() <= 3


def test_a_ycck_jpeg_becomes_rgb(tmp_path: Path) -> None:
    """The same samples said to be YCCK (Adobe's APP14 marker, transform 2; ITU-T T.872, 6.5.3)."""
    # Adobe stores ink inverted, and YCC is of the inverted ink's complement: of cyan (Y 179, Cb 171, Cr 0) for
    # red. Pillow inverts what it is given, so that these come out as 255 minus the numbers here.
    content = bytearray(encoded(Image.new("CMYK", (16, 16), (76, 84, 255, 0)), "JPEG", quality=100))
    marker = content.index(b"Adobe")
    assert content[marker + 11] == 0
    content[marker + 11] = 2
    pixels = read_image(read(tmp_path / "a.jpg", bytes(content))).pixels
    assert np.abs(pixels[8, 8].astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("page", range(3))
def test_a_page_is_read_by_its_number(tmp_path: Path, page: int) -> None:
    pages = [Image.new("L", (4 + value, 4), value) for value in (10, 20, 30)]
    path = read(tmp_path / "a.tif", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert frame_count(path) == 3
    image = read_image(f"{path}#page/{page}")
    assert image.pixels.max() == 10 * (page + 1)
    assert image.width == 14 + 10 * page
    assert image.facts["frame"] == f"{page + 1} of 3"
    assert frame_count(f"{path}#page/{page}") == 1


def test_a_page_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = read(tmp_path / "a.png", encoded(Image.new("L", (4, 4)), "PNG"))
    with pytest.raises(UnreadableImage, match="no page/1; its pages are page/0 to page/0"):
        read_image(f"{path}#page/1")


def test_what_cannot_be_read_counts_as_one(tmp_path: Path) -> None:
    assert frame_count(read(tmp_path / "a.tif", b"II*\x00\x08\x00\x00\x00\xff\xff")) == 1
    assert frame_count(read(tmp_path / "b.tif", b"words")) == 1
    assert frame_count((tmp_path / "none.tif").as_posix()) == 1


def png(depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Return an 8 x 8 PNG of filtered rows; `more` chunks stand before the pixels, CgBI before everything."""
    header = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, 0))
    first = [one for one in more if one[0] == b"CgBI"]
    rest = [one for one in more if one not in first]
    chunks = [*first, header, *rest, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def ramp_jpeg(**options: object) -> bytes:
    ramp = (np.add.outer(np.arange(96), np.arange(96)) * 5 // 4).astype(np.uint8)
    return encoded(Image.fromarray(ramp), "JPEG", quality=95, **options)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_jpeg_that_ends_early_with_an_end_marker_behind_it_is_refused(tmp_path: Path, kept: float) -> None:
    whole = ramp_jpeg()
    cut = whole[: int(len(whole) * kept)].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(UnreadableImage, match="the file is truncated: its samples end"):
        read_image(read(tmp_path / "a.jpg", cut))


@pytest.mark.parametrize("options", [{}, {"subsampling": 2}, {"restart_marker_blocks": 3}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("side", [64, 77, 94])
def test_a_jpeg_that_ends_within_its_last_row_of_blocks_is_refused(
    side: int, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (side, side, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise).convert(mode), "JPEG", **options)
    whole = read_image(read(tmp_path / "a.jpg", content)).pixels.copy()
    for lost in range(40, len(content) // 5, max(1, len(content) // 150)):
        try:
            cut = read_image(read(tmp_path / "a.jpg", content[:-lost].rstrip(b"\xff") + b"\xff\xd9")).pixels
        except UnreadableImage as error:
            assert "the file is truncated" in str(error)
            continue
        rows, columns = np.nonzero((cut != whole).any(axis=2))
        assert not rows.size or min(rows.min(), columns.min()) >= (side - 1) // 16 * 16 - 1, (
            f"{lost} bytes lost"
        )


def test_a_progressive_jpeg_that_lacks_scans_is_said_and_one_that_ends_within_a_scan_refused(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise), "JPEG", progressive=True)
    assert "note" not in read_image(read(tmp_path / "a.jpg", content)).facts
    scans = [found.start() for found in re.finditer(b"\xff\xda", content)]
    for scan in scans[1:]:
        image = read_image(read(tmp_path / "b.jpg", content[:scan] + b"\xff\xd9"))
        assert image.facts["note"].startswith("the scans of its finest detail or of its colour are missing")
    with pytest.raises(UnreadableImage, match="the file is truncated"):
        cut = content[: (scans[-1] + len(content)) // 2].rstrip(b"\xff") + b"\xff\xd9"
        read_image(read(tmp_path / "c.jpg", cut))


def test_what_lies_far_behind_a_jpeg_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = ramp_jpeg()
    path = read(tmp_path / "a.jpg", content)
    whole = read_image(path).pixels
    monkeypatch.setattr("medimg_cli.images.readers.raster._MOST_JPEG_BYTES", len(content) + 100)
    with Path(path).open("ab") as stream:
        stream.truncate(5 << 30)  # sparse
    assert np.array_equal(read_image(path).pixels, whole)


def test_a_jpeg_of_several_pictures_says_so(tmp_path: Path) -> None:
    views = [Image.fromarray(np.full((16, 16), grey, np.uint8)) for grey in (9, 90, 200)]
    image = read_image(
        read(tmp_path / "a.jpg", encoded(views[0], "MPO", save_all=True, append_images=views[1:]))
    )
    assert (image.facts["frame"], int(image.pixels[0, 0, 0])) == ("1 of 3", 9)
    assert "frame" not in read_image(read(tmp_path / "a.jpg", encoded(views[0], "JPEG"))).facts


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_whole_jpeg_with_a_flat_lower_half_is_read(
    tmp_path: Path, options: dict[str, object], mode: str
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (80, 72, 3)).astype(np.uint8)
    noise[40:] = 17
    picture = Image.fromarray(noise).convert(mode)
    image = read_image(read(tmp_path / "a.jpg", encoded(picture, "JPEG", **options) + b"behind"))
    assert int(image.pixels[60:].max()) - int(image.pixels[60:].min()) <= 1


def test_a_flat_jpeg_is_read_whatever_its_size(tmp_path: Path) -> None:
    for side in (1, 8, 9, 200):
        path = read(tmp_path / "a.jpg", encoded(Image.new("L", (side, side), 90), "JPEG"))
        assert (read_image(path).pixels == 90).all()


def test_the_png_of_one_maker_that_no_decoder_reads_is_refused(tmp_path: Path) -> None:
    apples = png(8, 0, b"".join(b"\0" + bytes(8) for _ in range(8)), (b"CgBI", b"\x50\0\x20\x02"))
    with pytest.raises(UnreadableImage, match="CgBI"):
        read_image(read(tmp_path / "a.png", apples))


@pytest.mark.parametrize("kept", [0, 4, 7.5, 7.99])
@pytest.mark.parametrize(
    ("depth", "colour", "bits"), [(8, 0, 8), (16, 0, 16), (8, 2, 24), (8, 4, 16), (2, 0, 2)]
)
def test_a_png_of_fewer_rows_than_it_says_is_refused(
    tmp_path: Path, kept: float, depth: int, colour: int, bits: int
) -> None:
    row = b"\0" + bytes(range(1, bits + 1))
    content = (row * 8)[: int(kept * len(row))]
    with pytest.raises(UnreadableImage, match=r"fewer rows|truncated|decoder failed"):
        read_image(read(tmp_path / "a.png", png(depth, colour, content)))


def test_a_png_with_a_black_last_row_is_read(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes([value] * 8) for value in (9, 9, 9, 9, 9, 9, 0, 0))
    assert read_image(read(tmp_path / "a.png", png(8, 0, rows))).pixels[:, 0, 0].tolist() == [9] * 6 + [0] * 2


def test_a_palette_shorter_than_its_indices_is_refused(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes(range(8 * row, 8 * row + 8)) for row in range(8))
    whole = png(8, 3, rows, (b"PLTE", bytes(range(192))))
    assert read_image(read(tmp_path / "a.png", whole)).pixels[0, 1].tolist() == [3, 4, 5]
    with pytest.raises(UnreadableImage, match="palette is too short"):
        read_image(read(tmp_path / "a.png", png(8, 3, rows, (b"PLTE", bytes(range(189))))))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_one_transparent_value_of_few_bits_is_black(tmp_path: Path, depth: int) -> None:
    most = (1 << depth) - 1
    indices = np.arange(64).reshape(8, 8) % (most + 1)
    bits = (indices[..., None] >> np.arange(depth)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits.astype(np.uint8))
    image = read_image(read(tmp_path / "a.png", png(depth, 0, rows, (b"tRNS", struct.pack(">H", most)))))
    assert image.facts["alpha"] == "on black"
    assert np.array_equal(image.pixels[..., 0], np.where(indices == most, 0, indices * 255 // most))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF"])
def test_of_an_animation_it_is_said_which_picture_is_read(tmp_path: Path, image_format: str) -> None:
    shades = [Image.new("L", (16, 16), 60 * shade) for shade in (1, 2, 3)]
    content = encoded(shades[0], image_format, save_all=True, append_images=shades[1:])
    image = read_image(read(tmp_path / "a", content))
    assert image.facts["frame"] == "1 of 3"
    assert abs(int(image.pixels.max()) - 60) <= 2
