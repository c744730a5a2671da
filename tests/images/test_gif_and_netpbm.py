"""GIF by Pillow, PBM, PGM, PPM and PFM by numbers: every depth, coding and end too early."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import frame_count, read_image

GREY = np.random.default_rng(0).integers(0, 256, (21, 19), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (21, 19, 3), dtype=np.uint8)


def read(path: Path, content: bytes) -> DecodedImage:
    path.write_bytes(content)
    return read_image(path.as_posix())


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def netpbm(kind: str, samples: NDArray[Any], most: int | None, comment: str = "") -> bytes:
    """Return a file of samples (H, W) or (H, W, 3), binary for P4 to P6, else numbers."""
    head = f"P{kind}\n{comment}{samples.shape[1]} {samples.shape[0]}\n" + (
        "" if most is None else f"{most}\n"
    )
    if kind in "123":
        return head.encode() + "\n".join(map(str, samples.ravel())).encode()
    if kind == "4":
        return head.encode() + np.packbits(samples, axis=1).tobytes()
    return head.encode() + samples.astype("u1" if most is not None and most < 256 else ">u2").tobytes()


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_gif_is_read_as_the_same_picture_in_png(interlace: int, tmp_path: Path) -> None:
    image = read(tmp_path / "a.gif", saved(Image.fromarray(GREY), "GIF", interlace=interlace))
    assert np.array_equal(image.pixels[..., 0], GREY)
    assert (image.bit_depth, dict(image.facts)) == (8, {})
    palette = Image.fromarray(COLOUR).quantize(64)
    image = read(tmp_path / "a.gif", saved(palette, "GIF", interlace=interlace))
    assert np.array_equal(image.pixels, np.asarray(palette.convert("RGB")))


def test_of_an_animated_gif_the_first_picture_is_read_and_it_is_said(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.roll(GREY, shift)) for shift in range(3)]
    content = saved(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    image = read(tmp_path / "a.gif", content)
    assert (image.facts["frame"], frame_count((tmp_path / "a.gif").as_posix())) == ("1 of 3", 1)
    assert np.array_equal(image.pixels[..., 0], GREY)
    with pytest.raises(UnreadableImage, match="no page/1"):
        read_image(f"{(tmp_path / 'a.gif').as_posix()}#page/1")


def test_a_transparent_gif_lies_on_black(tmp_path: Path) -> None:
    image = read(tmp_path / "a.gif", saved(Image.fromarray(GREY | 1), "GIF", transparency=7))
    assert image.facts["alpha"] == "on black"
    assert not image.pixels[(GREY | 1) == 7].any()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_gif_that_ends_early_is_refused(share: float, tmp_path: Path) -> None:
    content = saved(Image.fromarray(GREY), "GIF")
    with pytest.raises(UnreadableImage):
        read(tmp_path / "a.gif", content[: int(len(content) * share)])


@pytest.mark.parametrize("most", [1, 7, 100, 255])
@pytest.mark.parametrize("kinds", ["25", "36"])
def test_samples_of_a_byte_are_spread_over_the_range_the_header_says(
    kinds: str, most: int, tmp_path: Path
) -> None:
    samples = (GREY if kinds == "25" else COLOUR).astype(int) % (most + 1)
    for kind in kinds:
        image = read(tmp_path / "a", netpbm(kind, samples, most, "# by Jane\n#\n"))
        expected = ((2 * 255 * samples + most) // (2 * most)).reshape(21, 19, -1)
        assert np.array_equal(image.pixels, expected)
        assert image.bit_depth == most.bit_length()


@pytest.mark.parametrize("most", [256, 1023, 4095, 40000])
@pytest.mark.parametrize("kinds", ["25", "36"])
def test_deep_samples_keep_their_depth(kinds: str, most: int, tmp_path: Path) -> None:
    samples = (GREY if kinds == "25" else COLOUR).astype(np.uint32) * most // 255
    for kind in kinds:
        image = read(tmp_path / "a", netpbm(kind, samples, most))
        expected = ((2 * 65535 * samples.astype(int) + most) // (2 * most)).reshape(21, 19, -1)
        assert np.array_equal(image.pixels, expected)


def test_a_range_of_sixteen_bits_is_told_by_the_bits_in_use_as_in_a_png(tmp_path: Path) -> None:
    samples = GREY.astype(np.uint16) * 16
    deep = read(tmp_path / "a.png", saved(Image.fromarray(samples), "PNG"))
    for content in (netpbm("5", samples, 65535), netpbm("6", np.stack([samples] * 3, -1), 65535)):
        image = read(tmp_path / "a", content)
        assert np.array_equal(image.pixels, deep.pixels)
        assert image.facts == deep.facts


def test_bits_are_black_where_they_are_set(tmp_path: Path) -> None:
    for content in (netpbm("4", GREY > 99, None), netpbm("1", (GREY > 99).astype(int), None)):
        image = read(tmp_path / "a", content)
        assert np.array_equal(image.pixels[..., 0], np.where(GREY > 99, 0, 255))
        assert image.bit_depth == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("samples", [GREY, COLOUR])
def test_floating_point_is_read_from_below(samples: NDArray[Any], order: str, tmp_path: Path) -> None:
    head = f"P{'f' if samples.ndim == 2 else 'F'}\n19 21\n{'-1.0' if order == '<' else '2.5'}\n".encode()
    image = read(tmp_path / "a.pfm", head + samples[::-1].astype(f"{order}f4").tobytes())
    kind = "minisblack" if samples.ndim == 2 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", samples.astype(np.float32), photometric=kind)
    plain = read_image((tmp_path / "a.tif").as_posix())
    assert np.array_equal(image.pixels, plain.pixels)
    assert image.facts["window"].startswith("percentiles")


@pytest.mark.parametrize("kind", list("123456"))
def test_a_file_that_ends_early_is_refused_and_one_that_goes_on_is_said(kind: str, tmp_path: Path) -> None:
    samples = COLOUR if kind in "36" else GREY > 99 if kind in "14" else GREY
    content = netpbm(kind, samples.astype(int), None if kind in "14" else 255)
    with pytest.raises(UnreadableImage, match="truncated"):
        read(tmp_path / "a", content[:-4])
    if kind != "1":
        assert read(tmp_path / "a", content + b"\n" + content).facts["frame"] == "1 of 2 or more"
    assert "frame" not in read(tmp_path / "a", content + b"\n").facts


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n4 4\n3\n" + bytes(range(16)),  # above maxval
        b"P2\n2 1\n9\n4 -4\n",
        b"P2\n2 1\n9\n4 x\n",
        b"P5\n4 4\n70000\n" + bytes(64),
        b"P5\n4 4\n0\n" + bytes(64),
        b"P5\n99999 99999\n255\n" + bytes(64),
        b"P5\n0 4\n255\n",
        b"P5\n4 4\nnan\n" + bytes(64),
        b"P1\n2 2\n0 1 2 0\n",
        b"P2 2 notes of a visit\n",
    ],
)  # fmt: skip
def test_what_is_no_whole_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage):
        read(tmp_path / "a.pgm", content)
