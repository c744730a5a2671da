"""Copies are found whatever was done to them, and different pictures are left alone."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from medimg_cli.audit.duplicates import likely_pairs, near_duplicates
from medimg_cli.audit.duplicates.near_duplicates import (
    CONFIRMED,
    Groups,
    NearDuplicates,
    find_near_duplicates,
)
from medimg_cli.audit.measurements.thumbnails import SIDE_PX, thumbnail
from medimg_cli.images.readers import read_image
from tests.audit.bodies import Picture, draw, small

COUNT = 40


def _jpeg(pixels: Picture) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=50)
    return np.asarray(Image.open(stream))


def _marked(pixels: Picture) -> Picture:
    picture = Image.fromarray(pixels)
    ImageDraw.Draw(picture).text((10, 8), "R", fill=255, font_size=22)
    return np.asarray(picture)


def _turned(degrees: float) -> Callable[[Picture], Picture]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def _cropped(share: float) -> Callable[[Picture], Picture]:
    margin = round(192 * share)
    return lambda pixels: pixels[margin:-margin, margin:-margin]


COPIES: dict[str, tuple[Callable[[Picture], Picture], str]] = {
    "saved as JPEG": (_jpeg, "saved or brightened anew"),
    "brighter": (lambda pixels: (pixels.astype(int) + 30).clip(0, 255).astype(np.uint8), "saved or"),
    "more contrast": (
        lambda pixels: ((pixels.astype(float) - 128) * 1.3 + 128).clip(0, 255).astype(np.uint8),
        "saved or",
    ),
    "gamma": (lambda pixels: (255 * (pixels / 255) ** 1.5).astype(np.uint8), "saved or"),
    "marked": (_marked, "saved or"),
    "half the size": (lambda pixels: np.asarray(Image.fromarray(pixels).reduce(2)), "saved or"),
    "cropped by 2 %": (_cropped(0.02), "cropped, moved or turned"),
    "cropped by 5 %": (_cropped(0.05), "cropped, moved or turned"),
    "turned by 2 degrees": (_turned(2), "cropped, moved or turned"),
    "turned by 5 degrees": (_turned(5), "cropped, moved or turned"),
    "turned by 11 degrees": (_turned(11), "cropped, moved or turned"),
    "turned by 16 degrees": (_turned(-16.5), "cropped, moved or turned"),
    "turned by 21 degrees": (_turned(21.5), "cropped, moved or turned"),
    "turned by 25 degrees": (_turned(-25), "cropped, moved or turned"),
    "mirrored": (lambda pixels: pixels[:, ::-1], "mirrored"),
    "upside down": (lambda pixels: pixels[::-1], "upside down"),
    "turned by half": (lambda pixels: pixels[::-1, ::-1], "turned by half"),
    "turned by a quarter": (lambda pixels: np.rot90(pixels), "turned by a quarter"),
    "inverted": (lambda pixels: 255 - pixels, "inverted"),
    "mirrored and inverted": (lambda pixels: 255 - pixels[:, ::-1], "mirrored, inverted"),
}


def _find(pictures: list[Picture]) -> NearDuplicates:
    return find_near_duplicates(np.stack(pictures).__getitem__, len(pictures))


@pytest.fixture(scope="module")
def originals() -> list[Picture]:
    return [draw(seed) for seed in range(COUNT)]


def test_different_pictures_are_no_copies_though_they_have_much_in_common(originals: list[Picture]) -> None:
    found = _find([small(pixels) for pixels in originals])
    assert found.pairs == ()


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found_with_what_was_done_to_it(name: str, originals: list[Picture]) -> None:
    copy, kind = COPIES[name]
    pictures = [small(pixels) for pixels in originals] + [small(copy(pixels)) for pixels in originals[:10]]
    found = _find(pictures)
    assert {(pair.first, pair.second) for pair in found.pairs} == {(n, COUNT + n) for n in range(10)}
    assert all(pair.similarity >= CONFIRMED for pair in found.pairs)
    assert all(kind in pair.kind for pair in found.pairs), found.pairs


def test_copies_are_found_in_a_large_set_too(
    originals: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "SMALL_SET", 1)
    monkeypatch.setattr(near_duplicates, "LARGE_SET", 1)
    monkeypatch.setattr(likely_pairs, "_CELL", 3)
    names = ("saved as JPEG", "marked", "cropped by 2 %", "turned by 2 degrees", "mirrored", "inverted")
    copies = [COPIES[name][0](originals[place]) for place, name in enumerate(names)]
    found = _find([small(pixels) for pixels in (*originals, *copies, np.zeros_like(originals[0]))])
    tied = {position for pair in found.pairs for position in (pair.first, pair.second)}
    assert tied == {*range(len(copies)), *range(COUNT, COUNT + len(copies))}
    assert found.flat == 1


def test_a_film_becomes_one_chain_without_every_pair_being_compared() -> None:
    random = np.random.default_rng(5)
    scene = draw(1)
    frames = [
        small((scene + random.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)) for _ in range(200)
    ]
    found = _find(frames)
    groups = Groups(200)
    for pair in found.pairs:
        groups.tie(pair.first, pair.second)
    assert len(groups.members()) == 1
    assert found.compared < 2_000


def test_flat_pictures_are_left_out_and_counted() -> None:
    pictures = [np.full((SIDE_PX, SIDE_PX), grey, dtype=np.uint8) for grey in (0, 0, 128, 255)]
    found = _find([*pictures, small(draw(1)), small(draw(2))])
    assert (found.flat, found.pairs) == (4, ())


def test_what_the_limit_passes_over_is_counted(originals: list[Picture]) -> None:
    pictures = [small(pixels) for pixels in originals] + [small(_jpeg(pixels)) for pixels in originals]
    found = find_near_duplicates(np.stack(pictures).__getitem__, len(pictures), limit=10)
    assert (found.compared, len(found.pairs)) == (10, 10)
    assert found.passed_over >= COUNT - 10


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pictures_are_borne(count: int) -> None:
    pictures = np.stack([small(draw(seed)) for seed in range(3)])[:count]
    assert find_near_duplicates(pictures.__getitem__, count).pairs == ()


def test_two_pictures_suffice_to_find_a_copy() -> None:
    assert len(_find([small(draw(1)), small(_jpeg(draw(1)))]).pairs) == 1


@pytest.mark.slow
def test_among_the_chest_x_rays_one_exposure_saved_twice_is_found_and_no_two_patients(
    shared_data: Path,
) -> None:
    paths = sorted((shared_data / "chest_xray").rglob("*.jpeg"))
    images = [read_image(str(path)) for path in paths]
    different = np.sort(np.unique([image.pixel_sha256() for image in images], return_index=True)[1])
    assert len(images) - len(different) == 32
    thumbnails = np.stack([thumbnail(images[place]) for place in different])
    found = find_near_duplicates(thumbnails.__getitem__, len(thumbnails))
    names = [{paths[different[place]].stem for place in (pair.first, pair.second)} for pair in found.pairs]
    assert names == [{"person1669_virus_2884", "person1669_virus_2885"}]
