"""CLAHE: more local contrast, bounded, and nothing invented."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.preprocessing.contrast import equalise_adaptively


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
