"""What each disturbance does to pixels, exactly."""

import numpy as np
import pytest
from scipy import ndimage

from medimg_cli.preprocessing.corruptions import DISTURBANCES, Disturbance, drawn_evenly

GENERATOR = np.random.default_rng(3)
GREY = GENERATOR.integers(0, 256, (3, 40, 36, 1), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (2, 33, 40, 3), dtype=np.uint8)
WIDE = GENERATOR.integers(0, 65536, (2, 24, 24, 1), dtype=np.uint16)
IDS = ("a", "b", "c")


def disturbance(name: str, severity: int, sign: str = "") -> Disturbance:
    return next(
        each
        for each in DISTURBANCES
        if (each.name, each.severity) == (name, severity) and each.strength.startswith(sign)
    )


@pytest.mark.parametrize("each", DISTURBANCES, ids=lambda each: f"{each.name} {each.strength}")
@pytest.mark.parametrize("pixels", [GREY, COLOUR, WIDE], ids=["grey", "colour", "16 bits"])
def test_shape_and_kind_stay_and_the_original_is_left_alone(each: Disturbance, pixels: np.ndarray) -> None:
    before = pixels.copy()
    changed = each(pixels, IDS[: len(pixels)])
    assert (changed.shape, changed.dtype) == (pixels.shape, pixels.dtype)
    assert not np.array_equal(changed, pixels)
    assert np.array_equal(pixels, before)
    assert np.array_equal(changed, each(pixels, IDS[: len(pixels)]))


@pytest.mark.parametrize(("severity", "sigma"), [(1, 1.0), (2, 2.0)])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, WIDE], ids=["grey", "colour", "16 bits"])
def test_blur_is_a_gaussian_of_that_sigma(severity: int, sigma: float, pixels: np.ndarray) -> None:
    blurred = disturbance("blur", severity)(pixels, IDS[: len(pixels)])
    wanted = ndimage.gaussian_filter(
        pixels.astype(np.float64), (0, sigma, sigma, 0), mode="reflect", truncate=4
    )
    assert np.abs(blurred - wanted).max() <= 0.51


@pytest.mark.parametrize(("severity", "share"), [(1, 0.05), (2, 0.10)])
def test_noise_has_its_standard_deviation_and_belongs_to_the_image(severity: int, share: float) -> None:
    for top, dtype in ((255, np.uint8), (65535, np.uint16)):
        flat = np.full((2, 128, 128, 1), top // 2, dtype=dtype)
        noise = disturbance("noise", severity)(flat, ("a", "b")).astype(np.float64) - top // 2
        assert noise.std() == pytest.approx(share * top, rel=0.02)
        assert abs(noise.mean()) < 0.02 * share * top
        assert not np.array_equal(noise[0], noise[1])
        alone = disturbance("noise", severity)(flat[1:], ("b",))
        assert np.array_equal(alone[0], noise[1] + top // 2)


def test_noise_leaves_grey_grey_and_colours_apart() -> None:
    noisy = disturbance("noise", 1)(np.repeat(GREY, 3, axis=3), IDS)
    assert (noisy == noisy[..., :1]).all()
    coloured = disturbance("noise", 1)(COLOUR, IDS[:2]).astype(int) - COLOUR
    inner = (COLOUR > 60).all(axis=3) & (COLOUR < 195).all(axis=3)
    assert not np.array_equal(coloured[inner][:, 0], coloured[inner][:, 1])


@pytest.mark.parametrize(
    ("sign", "severity", "step"), [("+", 1, 26), ("+", 2, 64), ("−", 1, -26), ("−", 2, -64)]
)
def test_brightness_is_a_step_that_ends_at_black_and_white(sign: str, severity: int, step: int) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    moved = disturbance("brightness", severity, sign)(ramp, ("a",))
    free = moved.astype(int)[(moved > 0) & (moved < 255)] - ramp[(moved > 0) & (moved < 255)]
    assert set(np.abs(free - step)) <= {0, 1}
    assert (moved.min(), moved.max()) == (
        (0 if step < 0 else moved.min()),
        (255 if step > 0 else moved.max()),
    )
    wide = disturbance("brightness", severity, sign)(np.full((1, 4, 4, 1), 30000, dtype=np.uint16), ("a",))
    assert abs(int(wide[0, 0, 0, 0]) - 30000 - step * 257) <= 257


@pytest.mark.parametrize(("severity", "factor"), [(1, 0.75), (2, 0.5)])
def test_contrast_shrinks_about_the_mean_of_the_picture(severity: int, factor: float) -> None:
    flatter = disturbance("contrast", severity)(GREY, IDS).astype(np.float64)
    for before, after in zip(GREY.astype(np.float64), flatter, strict=True):
        wanted = before.mean() + factor * (before - before.mean())
        assert np.abs(after - wanted).max() <= 0.5


def test_jpeg_costs_more_at_lower_quality_and_sixteen_bits_go_through_eight() -> None:
    rows = np.linspace(0, 255, 64)
    smooth = np.rint((rows[:, None] + rows) / 2)[None, ..., None].astype(np.uint8)
    smooth[0, 20:30, 20:30] = 255
    losses = [
        np.abs(disturbance("jpeg", severity)(smooth, ("a",)).astype(int) - smooth).mean()
        for severity in (1, 2)
    ]
    assert 0 < losses[0] < losses[1] < 10
    wide = disturbance("jpeg", 1)(smooth.astype(np.uint16) * 257, ("a",))
    assert np.array_equal(wide // 257, disturbance("jpeg", 1)(smooth, ("a",)))


def test_few_images_are_drawn_of_each_class_alike_whatever_their_order() -> None:
    ids = [f"{number}" for number in range(60)]
    groups = ["ill"] * 10 + ["well"] * 50
    drawn = drawn_evenly(ids, groups, 30)
    assert len(drawn) == 30
    assert (drawn < 10).sum() == 10
    assert np.array_equal(drawn, np.sort(drawn))
    assert (drawn_evenly(ids, groups, 12) < 10).sum() == 6
    again = drawn_evenly(ids[::-1], groups[::-1], 30)
    assert {ids[::-1][place] for place in again} == {ids[place] for place in drawn}
    assert drawn_evenly(ids, groups, 100).tolist() == list(range(60))
