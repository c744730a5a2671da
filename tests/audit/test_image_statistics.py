"""Figures of one image, against arithmetic and against damage done on purpose."""

import io
import math
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.audit.measurements.image_statistics import STATISTICS_COLUMNS, ImageStatistics, look_at
from medimg_cli.images.image import DecodedImage

Bytes = NDArray[np.uint8]


def _looks(picture: NDArray[Any]) -> ImageStatistics:
    pixels: NDArray[Any] = picture[..., np.newaxis] if picture.ndim == 2 else picture
    return look_at(DecodedImage(pixels, pixels.dtype.itemsize * 8))


def _scene(side: int = 224, seed: int = 0) -> Bytes:
    """Return rings and noise, in steps at every scale as anatomy has them."""
    generator = np.random.default_rng(seed)
    scene = np.zeros((side, side))
    for cells in (4, 16, 64, side):
        coarse = generator.normal(0, cells**-0.5, (cells, cells)).astype(np.float32)
        scene += np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float64)
    return np.asarray((128 + 60 * scene / scene.std()).clip(0, 255), dtype=np.uint8)


def _as_jpeg(pixels: NDArray[Any], quality: int) -> Bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def test_the_figures_of_four_samples_are_those_of_arithmetic() -> None:
    looks = _looks(np.array([[0, 51], [102, 255]], dtype=np.uint8))
    assert looks.mean == pytest.approx(0.4)
    assert looks.std == pytest.approx(math.sqrt((0.16 + 0.04 + 0 + 0.36) / 4))
    assert (looks.minimum, looks.maximum, looks.p50, looks.p99) == (0.0, 1.0, 0.2, 1.0)
    assert (looks.black_share, looks.white_share, looks.commonest_share) == (0.25, 0.25, 0.25)
    assert (looks.contrast, looks.levels) == (1.0, 4 / 256)
    assert looks.entropy == pytest.approx(2 / 8)  # four equally frequent values: 2 of 8 bits
    assert (looks.top_mean, looks.left_mean) == pytest.approx((0.1, 0.2))


@pytest.mark.parametrize("seed", range(3))
def test_sixteen_bits_give_the_figures_of_eight(seed: int) -> None:
    scene = _scene(seed=seed)
    deep = _looks(scene.astype(np.uint16) * 257)
    assert asdict(deep) == pytest.approx(asdict(_looks(scene)), abs=1e-4)


def test_twelve_bits_in_sixteen_are_dark_and_stay_in_range() -> None:
    looks = _looks(_scene().astype(np.uint16) * 16)
    assert looks.p99 < 0.07
    assert all(0 <= figure <= 1 for figure in asdict(looks).values())


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (40, 30, 3), (500, 3)])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_of_any_shape_has_all_figures(shape: tuple[int, ...], value: int) -> None:
    figures = asdict(_looks(np.full(shape, value, dtype=np.uint8)))
    assert tuple(figures) == STATISTICS_COLUMNS
    assert all(0 <= figure <= 1 for figure in figures.values())  # NaN is neither
    assert (figures["sharpness"], figures["entropy"], figures["commonest_share"]) == (0, 0, 1)


def test_blur_is_seen_whatever_the_contrast_and_the_brightness() -> None:
    scene = _scene()
    sharp, blurred = _looks(scene).sharpness, _looks(cv2.GaussianBlur(scene, (0, 0), 3)).sharpness
    assert blurred < 0.3 < 0.4 < sharp
    assert _looks(scene // 3 + 100).sharpness == pytest.approx(sharp, abs=0.03)


def test_motion_in_one_direction_is_a_blur() -> None:
    scene = _scene()
    smeared = cv2.blur(scene, (15, 1))
    assert _looks(smeared).sharpness < _looks(scene).sharpness - 0.2
    assert _looks(np.ascontiguousarray(smeared.T)).sharpness == pytest.approx(_looks(smeared).sharpness)


def test_a_large_picture_is_as_sharp_as_its_small_copy() -> None:
    large = _scene(1792)
    small = cv2.resize(large, (224, 224), interpolation=cv2.INTER_AREA)
    assert _looks(large).sharpness == pytest.approx(_looks(small).sharpness, abs=0.01)


@pytest.mark.parametrize("side", [224, 900])
def test_the_blocks_of_jpeg_are_seen_and_only_they(side: int) -> None:
    scene = cv2.GaussianBlur(_scene(side), (0, 0), 1)
    assert _looks(scene).blockiness < 0.1
    assert _looks(_as_jpeg(scene, 10)).blockiness > 0.25
    assert _looks(_as_jpeg(scene, 95)).blockiness < 0.1


def test_edges_that_stand_on_the_grid_once_are_no_blocks() -> None:
    scene = _scene()
    scene[:, 112:] = 255 - scene[:, 112:]
    assert _looks(scene).blockiness < 0.1


def test_noise_is_measured_in_shares_of_the_range() -> None:
    noise = np.random.default_rng(0).normal(128, 10, (300, 300)).clip(0, 255).astype(np.uint8)
    assert _looks(noise).noise == pytest.approx(10 / 255, rel=0.05)


def test_a_frame_tells_border_from_centre() -> None:
    framed = np.full((200, 100), 51, dtype=np.uint8)
    framed[8:-8, 4:-4] = 204
    looks = _looks(framed)
    assert (looks.border_mean, looks.centre_mean) == pytest.approx((0.2, 0.8), abs=0.02)


def test_halves_tell_top_from_bottom_and_left_from_right() -> None:
    pixels = np.zeros((10, 10), dtype=np.uint8)
    pixels[:5, :] = 255
    looks = _looks(pixels)
    assert (looks.top_mean, looks.bottom_mean, looks.left_mean, looks.right_mean) == (1.0, 0.0, 0.5, 0.5)


def test_colour_is_looked_at_by_its_brightness() -> None:
    scene = _scene()
    coloured = np.stack([scene] * 3, axis=-1)
    assert asdict(_looks(coloured)) == pytest.approx(asdict(_looks(scene)), abs=1e-6)
