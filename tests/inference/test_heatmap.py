"""A heat map lies where the network saw it, whatever the recipe did to the image."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.heatmap import (
    Heat,
    colours,
    evidence,
    overlay,
    place,
    plain,
    spread,
    strength_of,
)
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation

SIZE_PX = 64


def card_of(answers: str = "softmax", classes: tuple[str, ...] = ("A", "B", "C")) -> ModelCard:
    fingerprint = Fingerprint(
        dataset_hash="", train_images=1, train_patients=1, val_images=1, class_counts={}
    )
    return ModelCard(
        arch="small-cnn",
        classes=classes,
        positive=None,
        recipe=Recipe(size_px=SIZE_PX, channels=1),
        normalisation=Normalisation(mean=(0.5,), std=(0.2,)),
        threshold=None,
        fingerprint=fingerprint,
        weights_sha256="",
        answers=answers,
    )


def spotted(width: int, height: int, x: int, y: int, *, frame: int = 0) -> DecodedImage:
    """Return a grey image with one light spot of 13 px around (x, y), in a black frame."""
    pixels = np.full((height, width, 1), 60, dtype=np.uint8)
    if frame:
        pixels[:frame], pixels[-frame:], pixels[:, :frame], pixels[:, -frame:] = 0, 0, 0, 0
    pixels[y - 6 : y + 7, x - 6 : x + 7] = 250
    return DecodedImage(pixels, 8)


def seen_by(recipe: Recipe, image: DecodedImage, side: int = 16) -> Heat:
    """Return the light in the network's own square, a mean for each of its places: a map that is known to be right."""
    square = recipe.apply(image)[..., 0].astype(np.float32)
    step = recipe.size_px // side
    light = (square - 60).clip(0).reshape(side, step, side, step).mean(axis=(1, 3))
    return np.asarray(light, dtype=np.float32)


def centre_of(heat: NDArray[np.float32]) -> tuple[float, float]:
    weight = np.clip(heat, 0, None)
    rows, columns = np.indices(heat.shape)
    return float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum())


@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("border_crop", [False, True])
@pytest.mark.parametrize(("width", "height"), [(300, 140), (131, 257), (200, 200)])
def test_the_heat_lies_where_the_network_saw_the_spot(
    mode: str, border_crop: bool, width: int, height: int
) -> None:
    recipe = Recipe(size_px=SIZE_PX, channels=1, resize_mode=mode, border_crop=border_crop)
    middle = (width // 2, height // 2)
    for x, y in ((middle[0] + 30, middle[1] - 25), (middle[0] - 38, middle[1] + 31)):
        image = spotted(width, height, x, y, frame=12 if border_crop else 0)
        heat = seen_by(recipe, image)
        drawn = spread(heat, place(image, recipe), image, (width, height))
        across, down = centre_of(drawn)
        assert abs(across - x) < 4, f"{across} for {x}"
        assert abs(down - y) < 4, f"{down} for {y}"


def test_an_image_that_was_decoded_smaller_is_placed_by_its_extent() -> None:
    pixels = np.zeros((100, 61, 1), dtype=np.uint8)
    smaller = DecodedImage(pixels, 8, extent=(60.5, 100.0))
    placed = place(smaller, Recipe(size_px=100, channels=1, resize_mode="crop"))
    assert (placed.top, placed.width, placed.height) == (19.75, 60.5, 60.5)


def test_what_the_network_never_saw_is_shaded_and_has_no_heat() -> None:
    image = spotted(200, 100, 100, 50)
    recipe = Recipe(size_px=SIZE_PX, channels=1, resize_mode="crop")
    drawn = np.asarray(overlay(image, recipe, np.ones((4, 4), np.float32)))
    assert (drawn[:, :49] == 27).all()  # 60 at 45 %
    assert (drawn[:, 151:] == 27).all()
    assert (drawn[:, 52:148] != 60).any(axis=2).all()


def test_an_image_that_nothing_speaks_for_stays_as_it_is() -> None:
    image = spotted(90, 60, 40, 30)
    recipe = Recipe(size_px=SIZE_PX, channels=1)
    drawn = overlay(image, recipe, np.full((4, 4), -2.0, np.float32))
    assert drawn.tobytes() == plain(image).tobytes()


def test_the_same_evidence_has_the_same_colour_in_every_image() -> None:
    weak, strong = np.full((2, 2), 1.0, np.float32), np.full((2, 2), 3.0, np.float32)
    assert (strength_of(weak, 4.0) == 0.25).all()
    assert (strength_of(strong, 4.0) == 0.75).all()
    assert (strength_of(weak, None) == 1).all()


def test_a_map_keeps_its_values_at_the_centres_of_its_places() -> None:
    heat = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    image = DecodedImage(np.zeros((36, 36, 1), dtype=np.uint8), 8)
    drawn = spread(heat, place(image, Recipe(size_px=36, channels=1)), image, (36, 36))
    np.testing.assert_allclose(drawn[4::9, 4::9], heat, atol=1e-6)


def test_colours_grow_lighter_in_even_steps_and_end_apart() -> None:
    lightness = np.array([_lightness(colour) for colour in colours(np.linspace(0, 1, 11, dtype=np.float32))])
    steps = np.diff(lightness)
    assert steps.min() > 4
    assert steps.max() < 2.2 * steps.min()


def _lightness(colour: NDArray[np.uint8]) -> float:
    """Return CIE L* of sRGB."""
    linear = (colour / 255) ** 2.2
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return float(116 * np.cbrt(luminance) - 16)


def test_evidence_is_of_differences_between_classes() -> None:
    maps = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.testing.assert_allclose(evidence(card_of(), maps, "C"), np.full((2, 2), 6.0))
    moved = maps + 100
    np.testing.assert_allclose(evidence(card_of(), moved, "A"), evidence(card_of(), maps, "A"))


def test_evidence_of_a_label_is_its_own_map_and_of_a_grade_all_that_leads_to_it() -> None:
    maps = np.array([1, 10, 100], dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    assert evidence(card_of("sigmoid"), maps, "B").mean() == 10
    grades = [evidence(card_of("ordinal"), maps, name).mean() for name in "ABC"]
    assert grades == [-1, 1, 11]


def test_a_heat_map_needs_no_torch() -> None:
    code = (
        "import sys, medimg_cli.inference.explaining\n"
        "print([name for name in ('torch', 'pandas', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
