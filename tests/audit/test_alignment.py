"""Laying one picture onto another."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from medimg_cli.audit.duplicates.alignment import (
    Canvas,
    about_centre,
    align,
    evened,
    resemblance,
    telling,
    warped,
)
from medimg_cli.audit.duplicates.fingerprint import Likeness
from medimg_cli.audit.measurements.thumbnails import SIDE_PX
from tests.audit.bodies import Picture, draw, small

AS_IT_IS = about_centre(1, 0)
EVERYWHERE = np.ones((SIDE_PX, SIDE_PX), dtype=np.float32)


def _similarity(first: Picture, second: Picture, weights: np.ndarray = EVERYWHERE) -> float:
    return align(Canvas(evened(first), weights), Canvas(evened(second), weights), AS_IT_IS).similarity


def test_a_moved_picture_is_laid_back_and_the_map_says_how_far_it_was_moved() -> None:
    picture = small(draw(0))
    moved = warped(picture, np.array([[1, 0, 3], [0, 1, -2]], dtype=np.float32)).astype(np.uint8)
    found = align(Canvas(evened(moved), EVERYWHERE), Canvas(evened(picture), EVERYWHERE), AS_IT_IS)
    assert found.similarity > 0.95
    assert found.shift_px(AS_IT_IS) == pytest.approx(np.hypot(3, 2), abs=0.3)


def test_different_pictures_are_not_similar_however_they_are_laid() -> None:
    assert max(_similarity(small(draw(0)), small(draw(seed))) for seed in range(1, 20)) < 0.5


def test_a_blot_is_not_stretched_into_any_other() -> None:
    def blot(width: int) -> Picture:
        picture = Image.new("L", (SIDE_PX, SIDE_PX), 200)
        ImageDraw.Draw(picture).ellipse((48 - width, 38, 48 + width, 58), fill=80)
        return np.asarray(picture)

    assert _similarity(blot(20), blot(21)) > 0.9
    assert _similarity(blot(12), blot(36)) < 0.85


def test_what_all_screens_show_does_not_make_pictures_similar() -> None:
    screen = Image.new("L", (SIDE_PX, SIDE_PX))
    for line in range(6):
        ImageDraw.Draw(screen).text((2, 15 * line + 1), f"Gain {37 * line}", fill=220, font_size=11)
    pictures = np.stack([small(draw(seed)) for seed in range(60)])
    pictures[:, :, :64] = np.asarray(screen)[:, :64]
    weights = telling(pictures)
    assert weights[10:-10, 10:50].max() < 0.1 < 0.7 < weights[10:-10, 75:-10].min()
    assert _similarity(pictures[0], pictures[1]) > 0.6
    assert _similarity(pictures[0], pictures[1], weights) < 0.3


def test_of_few_pictures_every_place_counts() -> None:
    assert telling(np.stack([small(draw(0))] * 5)).min() == 1


def test_an_augmented_copy_resembles_its_source_and_no_other_picture() -> None:
    picture = draw(0)
    turned = np.asarray(Image.fromarray(picture[:, ::-1]).rotate(14, Image.Resampling.BICUBIC))
    assert resemblance(small(picture), small(turned), enough=0.6) >= 0.6
    assert resemblance(small(picture), small(draw(1)), enough=0.6) < 0.5


@pytest.mark.parametrize("likeness", [Likeness(mirrored=True), Likeness(upside_down=True, inverted=True)])
def test_a_likeness_undoes_itself(likeness: Likeness) -> None:
    picture = evened(small(draw(0)))
    assert np.allclose(likeness.undo(likeness.undo(picture)), picture, atol=1e-3)
