"""TIFF of every depth, sample format, layout and coding that tifffile writes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import frame_count, read_image

RAMP = (np.arange(1024).reshape(32, 32) * 64).astype(np.uint16)  # 0..65472


def read(path: Path, samples: NDArray[Any], **options: Any) -> DecodedImage:
    tifffile.imwrite(path, samples, **options)
    return read_image(path.as_posix())


def test_sixteen_bits_of_grey_and_of_colour_look_the_same(tmp_path: Path) -> None:
    for samples in (RAMP, RAMP // 16, RAMP // 257):  # 16, 12 and 8 bits in use
        grey = read(tmp_path / "grey.tif", samples)
        colour = read(tmp_path / "colour.tif", np.stack([samples] * 3, -1), photometric="rgb")
        assert np.array_equal(grey.pixels, colour.pixels)
        assert grey.facts == colour.facts
        assert grey.pixels.max() > 65000


@pytest.mark.parametrize(
    "samples",
    [
        RAMP,
        RAMP // 16,
        (RAMP // 257).astype(np.uint8),
        RAMP.astype(np.uint32) * 60000,
        (RAMP / 65535).astype(np.float32),
        (RAMP / 65535).astype(np.float64),
        (RAMP / 65535).astype(np.float16),
        (RAMP.astype(np.int32) - 32768).astype(np.int16),
        RAMP > 32768,
    ],
    ids=lambda samples: str(samples.dtype),
)
def test_white_is_zero_is_inverted_at_every_depth(tmp_path: Path, samples: NDArray[Any]) -> None:
    black = read(tmp_path / "black.tif", samples, photometric="minisblack")
    white = read(tmp_path / "white.tif", samples, photometric="miniswhite")
    assert np.array_equal(white.pixels, np.iinfo(black.pixels.dtype).max - black.pixels)
    assert white.facts["inverted"] == "yes"
    assert white.facts.get("window") == black.facts.get("window")


def test_twelve_bits_inverted_within_sixteen_are_not_black(tmp_path: Path) -> None:
    image = read(tmp_path / "a.tif", 65535 - RAMP // 16, photometric="miniswhite")
    assert np.array_equal(image.pixels, read(tmp_path / "b.tif", RAMP // 16).pixels)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_values_of_every_type_keep_their_order(tmp_path: Path, kind: str) -> None:
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if kind[0] in "iu" else (-1.0, 1.0)
    samples = np.linspace(low, high, 256).astype(kind).reshape(16, 16)
    image = read(tmp_path / "a.tif", samples)
    assert np.all(np.diff(image.pixels.ravel().astype(int)) >= 0)
    assert (image.pixels.min(), image.pixels.max()) == (0, np.iinfo(image.pixels.dtype).max)
    assert image.bit_depth == np.dtype(kind).itemsize * 8


CODINGS: list[dict[str, Any]] = [
    {"byteorder": ">"},
    {"bigtiff": True},
    {"tile": (16, 16)},
    {"rowsperstrip": 5},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True, "byteorder": ">"},
    {"compression": "zstd"},
    {"compression": "lzma"},
    {"compression": "packbits"},
    {"compression": "jpeg2000"},
    {"compression": "zlib", "tile": (16, 16), "bigtiff": True, "byteorder": ">"},
]


@pytest.mark.parametrize("options", CODINGS, ids=str)
def test_the_coding_does_not_change_what_is_seen(tmp_path: Path, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (40, 50, 3), dtype=np.uint16)
    for samples in (noise[..., 0], noise, noise.astype(np.uint8)):
        kind = "rgb" if samples.ndim == 3 else "minisblack"
        plain = read(tmp_path / "plain.tif", samples, photometric=kind)
        coded = read(tmp_path / "coded.tif", samples, photometric=kind, **options)
        assert np.array_equal(coded.pixels, plain.pixels)


def test_colours_in_planes_of_their_own_are_put_together(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 65536, (3, 20, 30), dtype=np.uint16)
    image = read(tmp_path / "a.tif", colour, photometric="rgb", planarconfig="separate")
    assert np.array_equal(image.pixels, np.moveaxis(colour, 0, -1))


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_cover_lies_on_black_and_what_is_none_is_left_out(tmp_path: Path, kind: str) -> None:
    samples = np.full((4, 4, 4), 40000, np.uint16)
    samples[..., 3] = 65535
    samples[0, 0, 3] = 0
    image = read(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=[kind])
    assert image.pixels[1, 1, 0] == 40000
    assert image.pixels[0, 0, 0] == (0 if kind == "unassalpha" else 40000)
    assert image.facts.get("alpha") == (None if kind == "unspecified" else "on black")


@pytest.mark.parametrize("full", [255, 4095, 65535])
def test_a_palette_is_looked_up(tmp_path: Path, full: int) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.stack([np.linspace(0, full, 256), np.linspace(full, 0, 256), np.zeros(256)]).astype(
        np.uint16
    )
    image = read(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    assert np.array_equal(image.pixels[..., 0], indices)
    assert np.array_equal(image.pixels[..., 1], 255 - indices)
    assert ("12 of 16 bits" in image.facts.get("window", "")) == (full == 4095)


def test_ink_is_dark(tmp_path: Path) -> None:
    ink = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 100]]], np.uint8)
    image = read(tmp_path / "a.tif", ink, photometric="separated")
    assert image.pixels.tolist() == [[[255, 255, 255], [0, 255, 255], [0, 0, 0], [155, 155, 155]]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_fill_the_range(tmp_path: Path, bits: int) -> None:
    most = (1 << bits) - 1
    rows = np.tile(np.arange(most + 1, dtype=np.uint8), (4, 8 // bits))
    packed = np.packbits(np.unpackbits(rows[..., None], axis=-1)[..., -bits:].reshape(4, -1), axis=-1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, packed, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
        tags["ImageWidth"].overwrite(rows.shape[1])
        tags["BitsPerSample"].overwrite(bits)
    assert np.array_equal(read_image(path.as_posix()).pixels[..., 0], rows * (255 // most))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_whole_numbers_of_24_bits_are_refused(tmp_path: Path, byteorder: Literal["<", ">"]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(1536, dtype=np.uint8).reshape(16, 96), byteorder=byteorder)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
        tags["ImageWidth"].overwrite(32)
        tags["BitsPerSample"].overwrite(24)
    with pytest.raises(UnreadableImage, match="samples of 24 bits"):
        read_image(path.as_posix())


def test_pages_are_counted_and_read_by_number(tmp_path: Path) -> None:
    pages = np.stack([np.full((8, 8), 1000 * number, np.uint16) for number in range(60, 65)])
    for name, options in (
        ("a.tif", {}),
        ("a.ome.tif", {"ome": True}),
        ("big.tif", {"bigtiff": True}),
        ("one page.tif", {"truncate": True, "byteorder": ">"}),
        ("one page of ImageJ.tif", {"truncate": True, "imagej": True}),
    ):
        path = tmp_path / name
        tifffile.imwrite(path, pages, photometric="minisblack", **options)
        assert frame_count(path.as_posix()) == 5
        read = [read_image(f"{path.as_posix()}#page/{number}") for number in range(5)]
        assert [int(image.pixels.max()) for image in read] == [60000, 61000, 62000, 63000, 64000]
        assert read[2].facts["frame"] == "3 of 5"
        with pytest.raises(UnreadableImage, match="no page/5"):
            read_image(f"{path.as_posix()}#page/5")


def test_a_stack_that_is_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.arange(64, dtype=np.uint8).reshape(8, 8),
        description='{"shape": [1000000000, 8, 8]}',
        metadata=None,
    )
    with pytest.raises(UnreadableImage, match="1,000,000,000 pictures are said, and the file is too short"):
        read_image(path.as_posix())
    assert frame_count(path.as_posix()) == 1


@pytest.mark.parametrize(
    "options", [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 16)}], ids=str
)
def test_a_truncated_file_of_sixteen_bits_is_refused_but_never_half(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path, noise = (
        tmp_path / "a.tif",
        np.random.default_rng(0).integers(0, 65536, (40, 40, 3), dtype=np.uint16),
    )
    whole = read(path, noise, photometric="rgb", **options).pixels
    content, refused = path.read_bytes(), 0
    for kept in range(0, len(content), len(content) // 50):
        path.write_bytes(content[:kept])
        try:
            assert np.array_equal(read_image(path.as_posix()).pixels, whole)
        except UnreadableImage:
            refused += 1
    assert refused >= 48


@pytest.mark.parametrize("shape", [(5, 8, 9), (8, 9, 5)])
def test_channels_that_are_no_colours_are_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    planes = "separate" if shape[0] == 5 else "contig"
    with pytest.raises(UnreadableImage, match="channels"):
        read(tmp_path / "a.tif", np.zeros(shape, np.uint8), photometric="minisblack", planarconfig=planes)


def test_a_tiff_that_lacks_most_of_its_tiles_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((64, 64), 99, np.uint8), tile=(16, 16), compression="deflate")
    assert (read_image(str(path)).pixels == 99).all()
    content = bytearray(path.read_bytes())
    for tag in (256, 257):  # width and height
        with tifffile.TiffFile(path) as file:
            place = file.pages[0].tags[tag].valueoffset  # type: ignore[union-attr]
        content[place : place + 4] = (16_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match="16 parts of the picture where 1,000,000 belong"):
        read_image(str(path))


def test_a_thumbnail_or_a_mask_before_the_picture_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((4, 4), np.uint8), subfiletype=1)
        file.write(np.zeros((32, 32), bool), photometric="mask", subfiletype=4)
        file.write(RAMP)
    image = read_image(path.as_posix())
    assert np.array_equal(image.pixels[..., 0], RAMP)
    assert image.facts["note"] == "left out: 2 thumbnails, masks or labels"
    assert (frame_count(path.as_posix()), "frame" in image.facts) == (1, False)


def drawn(path: Path, *kinds: int, description: str = "") -> Path:
    """Write pages of these kinds (NewSubfileType), each of its number's grey."""
    with tifffile.TiffWriter(path) as file:
        for number, kind in enumerate(kinds):
            about = description if number == 0 else None
            samples = np.full((8, 8), number, np.uint8) if kind != 4 else np.ones((8, 8), bool)
            file.write(samples, subfiletype=kind, description=about, metadata=None)
    return path


@pytest.mark.parametrize(
    ("kinds", "pictures"),
    [
        ((0, 1, 0, 4, 0), [0, 2, 4]),  # a thumbnail and a mask between pictures
        ((2, 2, 2), [0, 1, 2]),  # pages of a document
        ((0, 3, 9), [0]),  # smaller levels of a picture, and a slide's macro
        ((1, 1), [0, 1]),  # all are marked, so none is more than the others
        ((4, 1, 0), [2]),
    ],
)
def test_only_pages_that_are_pictures_are_counted_and_answered(
    kinds: tuple[int, ...], pictures: list[int], tmp_path: Path
) -> None:
    path = drawn(tmp_path / "a.tif", *kinds).as_posix()
    assert frame_count(path) == len(pictures)
    for place, number in enumerate(pictures):
        for word in ("page", "frame"):
            assert read_image(f"{path}#{word}/{place}").pixels.flat[0] == number
    with pytest.raises(UnreadableImage, match=f"page/0 to page/{len(pictures) - 1}"):
        read_image(f"{path}#page/{len(pictures)}")
    assert ("note" in read_image(path).facts) == (len(pictures) < len(kinds))


def test_of_a_slide_by_aperio_the_picture_is_the_only_page(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.tif", 0, 0, 0, 1, 9, description="Aperio Image Library v11.2.1").as_posix()
    assert frame_count(path) == 1
    assert read_image(path).facts["note"] == "left out: 4 thumbnails, masks or labels"


@pytest.mark.parametrize(
    ("channels", "extra", "note"),
    [
        (4, ["unspecified"], "left out: 1 channel beyond the colours"),
        (5, ["unassalpha", "unspecified"], "left out: 1 channel beyond the colours"),
        (6, ["unspecified"] * 3, "left out: 3 channels beyond the colours"),
        (4, ["unassalpha"], None),
        (3, [], None),
    ],
)
def test_channels_beyond_colour_and_cover_are_said(
    channels: int, extra: list[str], note: str | None, tmp_path: Path
) -> None:
    samples = np.full((8, 8, channels), 255, np.uint8)
    image = read(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=extra or None)
    assert image.facts.get("note") == note


def test_a_second_channel_beside_grey_is_said(tmp_path: Path) -> None:
    samples = np.stack([RAMP, RAMP], -1)
    image = read(
        tmp_path / "a.tif",
        samples,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"],
    )
    assert image.facts["note"] == "left out: 1 channel beyond the colours"
