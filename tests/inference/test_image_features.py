"""What is measured of an image beside the network, against figures worked out by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.image_features import (
    RINGS,
    colour_of,
    figure_names,
    figures_of,
    grey_of,
    measure,
    measure_pixels,
    size_of,
)
from medimg_cli.preprocessing.recipe import Recipe

RECIPE = Recipe(size_px=64, channels=1)


def figures(picture: NDArray[np.floating[Any]]) -> dict[str, float]:
    shares = picture.astype(np.float32)[..., None] if picture.ndim == 2 else picture.astype(np.float32)
    return dict(zip(figure_names(shares.shape[2]), figures_of(shares, grey_of(shares)).tolist(), strict=True))


def drawn(height: int = 64, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1), dtype=np.uint8)


def test_a_thumbnail_holds_the_mean_of_each_area() -> None:
    pixels = drawn()
    expected = pixels[..., 0].reshape(32, 2, 32, 2).mean(axis=(1, 3)) / 255
    measured = measure_pixels(pixels, RECIPE, 64, 64)
    assert measured.thumbnail.reshape(32, 32) == pytest.approx(expected, abs=1e-6)


def test_a_picture_smaller_than_a_thumbnail_keeps_its_mean() -> None:
    pixels = drawn(28, 28)
    measured = measure_pixels(pixels, Recipe(size_px=28, channels=1), 28, 28)
    assert measured.thumbnail.mean() == pytest.approx(pixels.mean() / 255, abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 64), (64, 31)])
def test_the_negative_is_that_of_the_picture_and_not_of_its_letterbox(height: int, width: int) -> None:
    image = DecodedImage(drawn(height, width), 8)
    negative = DecodedImage(255 - image.as_uint8(), 8)
    first, second = (measure(one, RECIPE.apply(one), RECIPE) for one in (image, negative))
    assert first.negative == pytest.approx(second.thumbnail, abs=0.01)


def test_sixteen_bits_measure_as_eight_do() -> None:
    pixels = drawn()
    wide = pixels.astype(np.uint16) * np.uint16(257)
    first = measure_pixels(pixels, RECIPE, 64, 64)
    second = measure_pixels(wide, RECIPE.model_copy(update={"bits": 16}), 64, 64)
    assert second.thumbnail == pytest.approx(first.thumbnail, abs=1e-6)
    assert second.figures == pytest.approx(first.figures, abs=1e-5)


def test_a_size_is_that_of_the_file() -> None:
    whole = DecodedImage(drawn(40, 50), 8)
    reduced = DecodedImage(drawn(40, 50), 8, {"decoded_at": "1/4"}, extent=(49.75, 39.5))
    assert size_of(whole) == (50, 40)
    assert size_of(reduced) == (199, 158)


def test_colour_is_the_spread_of_the_channels() -> None:
    pixels = np.zeros((300, 200, 3), dtype=np.uint8)
    pixels[..., 1] = 51
    assert colour_of(DecodedImage(pixels, 8)) == pytest.approx(0.2)
    assert colour_of(DecodedImage(pixels[..., :1], 8)) == 0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_pictures_of_one_value_have_finite_figures(value: float) -> None:
    found = figures(np.full((20, 30), value))
    assert np.isfinite(list(found.values())).all()
    assert (found["sharpness"], found["noise"], found["contrast"]) == (0, 0, 0)


def test_greys_are_counted() -> None:
    half = np.zeros((40, 40))
    half[:, 20:] = 1.0
    found = figures(half)
    assert (found["mean"], found["std"], found["black"], found["white"]) == (0.5, 0.5, 0.5, 0.5)
    assert found["entropy"] == pytest.approx(1 / 8)
    assert (found["left"], found["top"]) == (-1.0, 0.0)


def test_blur_lowers_the_sharpness_and_noise_is_found() -> None:
    noise = np.random.default_rng(0).normal(0.5, 0.1, (128, 128)).clip(0, 1)
    soft = np.stack(
        [np.roll(noise, (down, across), (0, 1)) for down in range(3) for across in range(3)]
    ).mean(axis=0)
    assert figures(noise)["noise"] == pytest.approx(0.1, rel=0.05)
    assert figures(soft)["sharpness"] < figures(noise)["sharpness"]
    assert figures(soft)["noise"] < 0.02


@pytest.mark.parametrize("ring", range(1, RINGS + 1))
def test_a_wave_stands_in_the_ring_of_its_frequency(ring: int) -> None:
    cycles = (ring - 0.5) / RINGS / 2
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * cycles * np.arange(128))[None].repeat(128, axis=0)
    found = figures(wave)
    loudest = max((name for name in found if name.startswith("ring")), key=lambda name: found[name])
    assert loudest == f"ring{ring}"
    assert found["direction"] > 1


def test_colours_have_figures_where_there_are_three_channels() -> None:
    picture = np.zeros((16, 16, 3))
    picture[..., 0] = 0.5
    found = figures(picture)
    assert (found["colour"], found["red_green"], found["green_blue"]) == (0.5, 0.5, 0.0)
