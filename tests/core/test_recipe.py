"""The recipe: shape, letterbox, grey and colour, and one key for one preprocessing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from medimg_cli.core.image import DecodedImage
from medimg_cli.core.recipe import Recipe


def grey(height: int, width: int, value: int = 200) -> DecodedImage:
    return DecodedImage(np.full((height, width, 1), value, dtype=np.uint8), 8)


@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 3), (16, 16), (17, 31)])
def test_every_image_becomes_one_shape(mode: Any, channels: Any, shape: tuple[int, int]) -> None:
    pixels = Recipe(size_px=16, channels=channels, resize_mode=mode).apply(grey(*shape))
    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.uint8


def test_padding_keeps_the_side_ratio_and_fills_with_black_on_both_sides() -> None:
    pixels = Recipe(size_px=16, channels=1).apply(grey(8, 16))[..., 0]
    assert (pixels[4:12] == 200).all()
    assert (pixels[:4] == 0).all()
    assert (pixels[12:] == 0).all()


@pytest.mark.parametrize("mode", ["stretch", "crop"])
def test_stretching_and_cropping_leave_no_black(mode: Any) -> None:
    assert (Recipe(size_px=16, channels=1, resize_mode=mode).apply(grey(8, 16)) == 200).all()


def test_cropping_keeps_the_middle() -> None:
    samples: NDArray[np.uint8] = np.zeros((8, 24, 1), dtype=np.uint8)
    samples[:, 8:16] = 255
    assert (Recipe(size_px=8, channels=1, resize_mode="crop").apply(DecodedImage(samples, 8)) == 255).all()


def test_colour_is_reduced_by_luma_and_grey_repeated() -> None:
    red = DecodedImage(np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8), 8)
    assert (Recipe(size_px=8, channels=1).apply(red) == round(255 * 0.299)).all()
    colour = Recipe(size_px=8, channels=3).apply(grey(8, 8))
    assert (colour == 200).all()


def test_sixteen_bits_are_reduced_before_resizing() -> None:
    image = DecodedImage(np.full((8, 8, 1), 65535, dtype=np.uint16), 16)
    assert (Recipe(size_px=8, channels=1).apply(image) == 255).all()


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 200
    middle = Recipe(size_px=8, channels=1).apply(DecodedImage(stripes, 8))[1:-1, 1:-1]
    assert np.abs(middle.astype(int) - 100).max() <= 2


def test_the_key_names_the_recipe_and_nothing_else() -> None:
    recipe = Recipe(size_px=64, channels=1)
    assert recipe.key() == Recipe(channels=1, size_px=64, resize_mode="pad").key()
    others = [Recipe(size_px=65, channels=1), Recipe(size_px=64, channels=3)]
    assert len({recipe.key(), *(other.key() for other in others)}) == 3
    assert len(recipe.key()) == 16


def test_a_recipe_of_unknown_content_is_refused() -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"size_px": 64, "channels": 1, "sharpen": True})
