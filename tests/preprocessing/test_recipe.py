"""The recipe: shape, letterbox, grey and colour, and one key for one preprocessing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from medimg_cli.images.image import DecodedImage
from medimg_cli.preprocessing.recipe import Border, Recipe, cut, equalise_adaptively, find_border


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


def test_what_came_later_does_not_rename_recipes_of_before() -> None:
    assert Recipe(size_px=64, channels=1).key() == "f758fd0b3bcc96b6"
    plain = Recipe(size_px=64, channels=1)
    for change in ({"window": (40.0, 400.0)}, {"bits": 16}, {"clahe": True}, {"border_crop": True}):
        assert plain.model_copy(update=change).key() != plain.key()


def test_a_recipe_written_before_these_fields_is_read() -> None:
    old = '{"version": 1, "size_px": 64, "channels": 1, "resize_mode": "pad"}'
    assert Recipe.model_validate_json(old) == Recipe(size_px=64, channels=1)


def test_a_window_survives_being_written_and_read() -> None:
    recipe = Recipe(size_px=64, channels=1, window=(40, 400), border_crop=True)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()).key() == recipe.key()


def test_readers_are_told_what_the_recipe_wants() -> None:
    options = Recipe(size_px=64, channels=1, window=(40, 400), bits=16).read_options
    assert (options.window, options.bits, options.enough_px) == ((40, 400), 16, 64)
    # Half of a side may be cut: as many pixels as without must be left.
    assert Recipe(size_px=64, channels=1, border_crop=True).read_options.enough_px == 128


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
def test_sixteen_bits_are_resized_at_their_own_depth(mode: Any, channels: Any) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = DecodedImage(np.broadcast_to(ramp[None, :, None], (64, 64, channels)).copy(), 16)
    wide = Recipe(size_px=16, channels=channels, resize_mode=mode, bits=16).apply(image)
    narrow = Recipe(size_px=16, channels=channels, resize_mode=mode).apply(image)
    assert wide.dtype == np.uint16
    assert wide.shape == (16, 16, channels)
    assert np.abs(wide / 257 - narrow).max() <= 1
    assert len(np.unique(wide % 257)) > 10


def test_eight_bit_files_fill_the_range_of_sixteen_bits() -> None:
    assert (Recipe(size_px=8, channels=1, bits=16).apply(grey(8, 8, 255)) == 65535).all()


def test_clahe_and_sixteen_bits_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="CLAHE works on 8 bits"):
        Recipe(size_px=8, channels=1, bits=16, clahe=True)


def test_clahe_of_a_colour_picture_changes_its_luma_and_hardly_its_hue() -> None:
    generator = np.random.default_rng(0)
    base = np.full((64, 64, 3), (150, 110, 90)) + generator.normal(0, 3, (64, 64, 1))
    image = DecodedImage(base.astype(np.uint8), 8)
    plain, even = (
        Recipe(size_px=64, channels=3, clahe=on).apply(image).astype(float) for on in (False, True)
    )
    assert even.std(axis=(0, 1)).min() > 1.5 * plain.std(axis=(0, 1)).max()
    difference = (even[..., 0] - even[..., 2]) - (plain[..., 0] - plain[..., 2])
    assert np.abs(difference).max() <= 4


def test_a_frame_is_cut_before_contrast_and_size_and_is_told() -> None:
    framed = np.zeros((100, 100, 1), dtype=np.uint8)
    framed[20:80, 10:90] = np.random.default_rng(0).integers(60, 200, (60, 80, 1), dtype=np.uint8)
    recipe = Recipe(size_px=32, channels=1, border_crop=True, clahe=True, resize_mode="stretch")
    pixels, border = recipe.apply_telling_border(DecodedImage(framed, 8))
    without = Recipe(size_px=32, channels=1, clahe=True, resize_mode="stretch")
    assert border == "0.1000,0.2000,0.1000,0.2000"
    assert np.array_equal(pixels, without.apply(DecodedImage(framed[20:80, 10:90].copy(), 8)))


def test_the_recipe_in_words_names_what_is_not_usual() -> None:
    recipe = Recipe(size_px=224, channels=3, window=(40, 400), clahe=True, border_crop=True)
    assert recipe.in_words() == "224 x 224, colour, pad, window 40,400, border crop, CLAHE"


def test_a_recipe_of_unknown_content_is_refused() -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"size_px": 64, "channels": 1, "sharpen": True})


def picture(height: int = 80, width: int = 100, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(60, 200, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("shade", [0, 7, 250, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_black_or_white_frame_is_found_to_the_pixel(shade: int, channels: int) -> None:
    framed = np.full((80, 100, channels), shade, dtype=np.uint8)
    framed[4:70, 9:97] = picture(66, 88, channels)
    assert find_border(framed) == Border(left=9, top=4, right=3, bottom=10)
    assert np.array_equal(cut(framed, find_border(framed)), framed[4:70, 9:97])


def test_a_white_frame_around_a_black_one_goes_too() -> None:
    framed = np.full((80, 100, 1), 255, dtype=np.uint8)
    framed[3:-3, 3:-3] = 0
    framed[8:-8, 8:-8] = picture(64, 84)
    assert find_border(framed) == Border(8, 8, 8, 8)


def test_no_more_than_a_quarter_of_a_side_is_cut() -> None:
    framed = np.zeros((80, 100, 1), dtype=np.uint8)
    framed[60:64, 70:74] = 200
    assert find_border(framed) == Border(left=25, top=20, right=25, bottom=16)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_picture_without_content_is_left_whole(shade: int) -> None:
    assert not find_border(np.full((40, 40, 1), shade, dtype=np.uint8))


def test_a_grey_frame_and_a_frame_with_a_mark_in_it_are_content() -> None:
    grey = np.full((80, 100, 1), 128, dtype=np.uint8)
    assert not find_border(grey)
    marked = np.zeros((80, 100, 1), dtype=np.uint8)
    marked[10:70, 10:90] = picture(60, 80)
    marked[2, 50] = 255
    assert find_border(marked).top == 2


def test_sixteen_bits_are_judged_by_their_own_range() -> None:
    framed = np.full((40, 40, 1), 800, dtype=np.uint16)
    framed[5:35, 5:35] = 30000
    assert find_border(framed) == Border(5, 5, 5, 5)


def test_what_is_cut_is_told_as_shares_of_the_sides() -> None:
    assert Border(left=10, bottom=20).shares(100, 80) == "0.1000,0.0000,0.0000,0.2500"
    assert Border().shares(100, 80) == ""


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_the_smallest_pictures_keep_a_pixel(shape: tuple[int, int]) -> None:
    inside = cut(np.zeros((*shape, 1), dtype=np.uint8), find_border(np.zeros((*shape, 1), dtype=np.uint8)))
    assert inside.size > 0


def faint_texture(height: int = 96, width: int = 80) -> NDArray[np.uint8]:
    """Return a grey ramp with faint noise on it."""
    ramp = np.linspace(60, 180, width)[None, :] + np.zeros((height, 1))
    noise = np.random.default_rng(0).normal(0, 3, (height, width))
    faint: NDArray[np.uint8] = (ramp + noise).clip(0, 255).astype(np.uint8)
    return faint


def local_deviation(pixels: NDArray[np.uint8]) -> float:
    tiles = pixels[:96, :80].reshape(12, 8, 10, 8).transpose(0, 2, 1, 3).reshape(120, 64)
    return float(tiles.astype(float).std(axis=1).mean())


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 9), (8, 8), (9, 17), (100, 33)])
def test_every_shape_is_kept(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    even = equalise_adaptively(pixels)
    assert even.shape == shape
    assert even.dtype == np.uint8


def test_local_contrast_grows_but_no_more_than_the_clip_allows() -> None:
    before, after = (
        local_deviation(image) for image in (faint_texture(), equalise_adaptively(faint_texture()))
    )
    # The map's slope is the histogram's height, which is cut at twice the mean; what was cut adds less than 1.
    assert 1.3 * before < after < 3 * before


@pytest.mark.parametrize("value", [0, 17, 128, 255])
def test_a_blank_image_stays_blank_and_nearly_as_bright(value: int) -> None:
    even = equalise_adaptively(np.full((50, 70), value, dtype=np.uint8))
    assert len(np.unique(even)) == 1
    assert abs(int(even[0, 0]) - value) <= 4


def test_an_even_histogram_is_left_nearly_alone() -> None:
    tile = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = np.tile(tile, (8, 8))
    assert np.abs(equalise_adaptively(pixels).astype(int) - pixels).max() <= 1


def test_neighbouring_tiles_meet_without_a_seam() -> None:
    smooth = np.tile(np.linspace(100, 140, 128), (128, 1)).astype(np.uint8)
    even = equalise_adaptively(smooth).astype(int)
    assert np.abs(np.diff(even, axis=1)).max() <= 4


def test_turning_the_picture_turns_the_result() -> None:
    pixels = faint_texture(96, 80)
    assert np.array_equal(equalise_adaptively(pixels.T), equalise_adaptively(pixels).T)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("interpolation", ["bilinear, antialiased", "bicubic, antialiased"])
@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("shape", [(256, 256), (256, 384)])
def test_lines_finer_than_a_pixel_become_their_mean_and_no_pattern(
    shape: tuple[int, int], mode: Any, interpolation: Any, bits: Any
) -> None:
    samples: NDArray[np.uint8] = np.zeros((*shape, 1), dtype=np.uint8)
    samples[:, ::4] = 255  # resizing by 8 or 12: every pixel has as many lines
    recipe = Recipe(size_px=32, channels=1, resize_mode=mode, interpolation=interpolation, bits=bits)
    shown = recipe.apply(DecodedImage(samples, 8))[8:24, 4:28] / (255 if bits == 8 else 65535)
    assert np.abs(shown - 1 / 4).max() < 0.01
