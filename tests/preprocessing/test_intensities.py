"""Brightness of images of a pixel cache."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.preprocessing.intensities import compared_intensities, intensities_of
from medimg_cli.preprocessing.recipe import Recipe

PIXELS = np.stack([np.full((8, 8, 1), level, dtype=np.uint8) for level in (0, 51, 102, 255)])
PIXELS[1, ::2] = 0


def cache(pixels: np.ndarray, bits: int = 8) -> PixelCache:
    index = pd.DataFrame({"image_id": ["d", "c", "b"], "sha256": ["", "", ""], "row": [3, 2, 1]})
    return PixelCache(Path(), Recipe(size_px=8, channels=1, bits=bits), index, pixels)


def test_mean_and_spread_are_shares_of_the_range() -> None:
    found = intensities_of(cache(PIXELS), ["b", "c", "d"])
    assert found is not None
    assert found.mean.tolist() == pytest.approx([0.1, 0.4, 1.0])
    assert found.std.tolist() == pytest.approx([0.1, 0, 0])
    wide = intensities_of(cache(PIXELS.astype(np.uint16) * 257, bits=16), ["b", "c", "d"])
    assert wide is not None and wide.mean.tolist() == pytest.approx([0.1, 0.4, 1.0])


def test_a_sample_is_the_same_every_time() -> None:
    samples = [intensities_of(cache(PIXELS), ["b", "c", "d"], most=2) for _ in range(2)]
    assert samples[0] is not None and samples[1] is not None
    assert len(samples[0].mean) == 2
    assert samples[0].mean.tolist() == samples[1].mean.tolist()


def test_images_that_are_not_in_the_cache_are_passed_over() -> None:
    assert intensities_of(cache(PIXELS), ["a"]) is None
    assert compared_intensities(cache(PIXELS), ["a"], ["b"]) is None
    both = compared_intensities(cache(PIXELS), ["a", "c"], ["b"])
    assert both is not None and (both[0].mean.tolist(), both[1].mean.tolist()) == ([0.4], [0.1])
