"""The first pass: rows of signs are found, single letters and anatomy are not."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.privacy.pixels.text_regions import (
    MOST_REGIONS,
    Box,
    decode_regions,
    encode_regions,
    find_text,
    find_text_regions,
    mask_regions,
    overlap,
)
from medimg_cli.sample_data.phantoms.draw import draw_chest, draw_pose, expose
from tests.privacy.text_cohort import Drawn, draw_cohort

Grey = NDArray[np.uint8]


def phantoms(count: int) -> list[Grey]:
    """Return drawn chests (512, 512): no anatomy of a patient, but edges and grain like one."""
    generator = np.random.default_rng(5)
    chests = [draw_chest(generator, diseased=bool(number % 2)) for number in range(count)]
    films = [expose(chest, draw_pose(generator), generator) for chest in chests]
    return [cv2.resize((film * 255).astype(np.uint8), (512, 512)).astype(np.uint8) for film in films]


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return list(draw_cohort(phantoms(6), seed=3, clean=8, markers=0, identities=60))


def _covered(picture: Drawn) -> float:
    """Return which share of the text's width the boxes on it reach."""
    x, y, w, h = picture.box
    columns = np.zeros(picture.pixels.shape[1], dtype=bool)
    for box in find_text_regions(picture.pixels):
        if overlap(box, Box(x, y, w, h)) > 0:
            columns[box.x : box.x + box.w] = True
    return float(columns[x : x + w].mean())


def _written(colour: tuple[int, ...], ground: tuple[int, ...], text: str = "DOE^JANE 1980") -> Grey:
    pixels = np.empty((120, 320, len(colour)), dtype=np.uint8)
    pixels[:] = ground
    return np.asarray(cv2.putText(pixels, text, (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, 2), np.uint8)


def test_nearly_every_text_is_found_in_white_and_in_mid_grey(drawn: list[Drawn]) -> None:
    for tone, least in (("white", 0.95), ("mid grey", 0.9)):
        shares = [_covered(picture) >= 0.5 for picture in drawn if picture.tone == tone]
        assert len(shares) == 30
        assert np.mean(shares) >= least, tone


def test_a_chest_without_text_has_no_region(drawn: list[Drawn]) -> None:
    clean = [find_text_regions(picture.pixels) for picture in drawn if picture.kind == "clean"]
    assert clean == [[]] * 8


@pytest.mark.parametrize(
    ("colour", "ground"),
    [
        ((255,), (0,)),
        ((0,), (220,)),
        ((120,), (50,)),
        ((90, 90, 90), (160, 160, 160)),
        ((255, 230, 60), (0, 0, 0)),
    ],
)
def test_light_dark_and_coloured_text_is_found(colour: tuple[int, ...], ground: tuple[int, ...]) -> None:
    (box,) = find_text_regions(_written(colour, ground))
    assert overlap(box, Box(22, 44, 180, 16)) > 0.8


def test_colour_as_bright_as_the_grey_under_it_is_found() -> None:
    assert find_text_regions(_written((200, 120, 120), (200, 200, 200)))


def test_sixteen_bits_give_the_regions_of_eight() -> None:
    eight = _written((255,), (30,))
    assert find_text_regions(eight.astype(np.uint16) * 257) == find_text_regions(eight) != []


def test_a_single_letter_is_no_row_of_signs() -> None:
    assert find_text_regions(_written((255,), (0,), text="R")) == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 400, 1), (28, 28, 3)])
def test_a_tiny_picture_has_none(shape: tuple[int, int, int]) -> None:
    assert find_text_regions(np.zeros(shape, dtype=np.uint8)) == []


def test_a_page_full_of_text_comes_to_the_limit() -> None:
    pixels = np.zeros((700, 500, 1), dtype=np.uint8)
    for y in range(40, 690, 50):
        cv2.putText(pixels, "CLEVELAND 20170302", (20, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    assert len(find_text_regions(pixels)) == MOST_REGIONS


def test_regions_are_kept_as_text_and_come_back() -> None:
    boxes = [Box(0, 0, 1, 1), Box(12, 400, 90, 14)]
    assert encode_regions(boxes) == "0,0,1,1;12,400,90,14"
    assert decode_regions(encode_regions(boxes)) == boxes
    assert decode_regions(encode_regions([])) == []


def test_what_the_audit_keeps_are_the_regions() -> None:
    pixels = _written((255,), (0,))
    assert decode_regions(find_text(DecodedImage(pixels, 8))) == find_text_regions(pixels) != []


def test_broken_regions_are_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_regions("1,2,x,4")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_masked_box_holds_one_level_of_its_edge_and_the_rest_stays(dtype: type) -> None:
    pixels = (
        np.arange(400, dtype=dtype).reshape(20, 20) if dtype != np.uint8 else np.full((20, 20), 7, np.uint8)
    )
    box = Box(5, 6, 8, 4)
    masked = mask_regions(pixels, [box])
    assert masked.dtype == pixels.dtype
    inside = masked[6:10, 5:13]
    assert np.unique(inside).size == 1
    assert pixels[6:10, 5:13].min() <= inside[0, 0] <= pixels[6:10, 5:13].max()
    masked[6:10, 5:13] = pixels[6:10, 5:13]
    assert np.array_equal(masked, pixels)


def test_a_masked_text_is_found_no_more() -> None:
    pixels = _written((255, 255, 255), (40, 40, 40))
    masked = mask_regions(pixels, [Box(10, 35, 240, 35)])
    assert find_text_regions(pixels) != []
    assert find_text_regions(masked) == []
