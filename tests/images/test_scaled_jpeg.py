"""JPEG at a reduced scale: only where the caller asked, only as far as allowed, and nearly the same picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.images.readers import read_image
from medimg_cli.preprocessing.recipe import Recipe


def smooth(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray((127 + 60 * np.sin(rows / 23) + 60 * np.cos(columns / 31)).astype(np.uint8))


def read(path: Path, enough_px: int | None, **more: str) -> DecodedImage:
    return read_image(path.as_posix(), ReadOptions(enough_px=enough_px, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("enough_px", "side", "scale"),
    [
        (None, "shorter", 1),
        (160, "shorter", 1),
        (150, "shorter", 2),
        (75, "shorter", 4),
        (10, "shorter", 8),
        (201, "longer", 1),
        (200, "longer", 2),
        (100, "longer", 4),
    ],
)
def test_one_side_stays_as_long_as_is_enough(
    tmp_path: Path, enough_px: int | None, side: str, scale: int
) -> None:
    smooth(301, 401).save(tmp_path / "a.jpg")
    image = read(tmp_path / "a.jpg", enough_px, enough_side=side)
    assert (image.width, image.height) == (-(-401 // scale), -(-301 // scale))
    assert image.facts.get("decoded_at") == (None if scale == 1 else f"1/{scale}")
    assert image.extent == (None if scale == 1 else (401 / scale, 301 / scale))


@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
def test_a_recipe_gets_nearly_the_pixels_of_a_whole_decode(tmp_path: Path, mode: str) -> None:
    smooth(601, 813).save(tmp_path / "a.jpg", quality=95)
    recipe = Recipe(size_px=64, channels=1, resize_mode=mode)
    whole = recipe.apply(read(tmp_path / "a.jpg", None)).astype(int)
    scaled = read_image((tmp_path / "a.jpg").as_posix(), recipe.read_options)
    assert scaled.facts["decoded_at"] == "1/8"
    difference = np.abs(recipe.apply(scaled).astype(int) - whole)
    assert difference.mean() < 1
    assert difference.max() <= 4  # no row of the letterbox moves, whatever the odd sizes round to


def test_grey_stays_grey_and_colour_stays_colour(tmp_path: Path) -> None:
    smooth(200, 200).convert("RGB").save(tmp_path / "grey.jpg")
    Image.merge("RGB", [smooth(200, 200), Image.new("L", (200, 200), 20), smooth(200, 200)]).save(
        tmp_path / "colour.jpg"
    )
    for enough_px in (None, 40):
        assert read(tmp_path / "grey.jpg", enough_px).channels == 1
        assert read(tmp_path / "colour.jpg", enough_px).channels == 3


def test_a_turned_picture_has_a_turned_extent(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth(301, 401).save(tmp_path / "a.jpg", exif=exif)
    image = read(tmp_path / "a.jpg", 100)
    assert (image.width, image.height) == (151, 201)
    assert image.extent == (150.5, 200.5)


def test_other_formats_are_decoded_whole(tmp_path: Path) -> None:
    smooth(200, 200).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png", 10)
    assert image.width == 200
    assert image.extent is None


def test_a_truncated_jpeg_is_refused_at_every_scale(tmp_path: Path) -> None:
    smooth(300, 300).save(tmp_path / "a.jpg", quality=95)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    for enough_px in (None, 100, 30):
        with pytest.raises(Exception, match="truncated"):
            read(tmp_path / "a.jpg", enough_px)
