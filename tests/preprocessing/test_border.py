"""Frames: found where they are uniform, bounded, and never the picture itself."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.preprocessing.border import Border, cut, find_border


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
