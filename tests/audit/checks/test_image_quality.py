"""Bad images, each told for what it is."""

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.audit.checks.image_quality import image_quality
from medimg_cli.audit.findings import AuditContext, CheckSkipped, Finding
from medimg_cli.audit.measurements.measurements import Columns, Measurement, measure
from medimg_cli.audit.measurements.thumbnails import Thumbnails, appending
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import read_image
from tests.audit.checks.cohort import clean_cohort, ids, with_measurements, with_rows

Picture = NDArray[Any]
DARK, BRIGHT, FLAT = "too dark", "too bright", "of low contrast"
INVERTED, TURNED = "with inverted grey values", "that fit their peers better upside-down"
WHITE, BLACK, BLURRY, BLOCKS = "clipped to white", "clipped to black", "blurry", "with JPEG blocks"


def _draw(seed: int) -> Picture:
    """Return a body of (224, 224), brighter below, with texture at every scale: alike, but no two the same."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0:224, 0:224] / 224
    body = (0.25 + 0.45 * down) * (np.abs(across - 0.5) < 0.38)
    for cells in (8, 28, 112, 224):
        texture = generator.normal(0, 0.03, (cells, cells)).astype(np.float32)
        body = body + np.asarray(cv2.resize(texture, (224, 224), interpolation=cv2.INTER_CUBIC), np.float64)
    return np.asarray((255 * (body + 0.1)).clip(0, 255), dtype=np.uint8)


def _with_pictures(context: AuditContext, folder: Path, pictures: dict[str, Picture]) -> AuditContext:
    """Return the cohort with pictures measured as an audit measures them; the others get ones of their own."""
    measured = {
        image: _measure(pictures[image]) if image in pictures else _own(seed)
        for seed, image in enumerate(map(str, context.measurements.index))
    }
    columns = Columns.empty(len(measured))
    for place, measurement in enumerate(measured.values()):
        columns.put(place, "", measurement)
    path = folder / "drawn.u8"
    with appending(path, keep=0) as writer:
        numbers = {
            image: writer.append(measurement.picture)
            for image, measurement in measured.items()
            if measurement.picture is not None
        }
    table = columns.table(list(measured))
    return replace(context, measurements=table, thumbnails=Thumbnails(path, numbers))


def _measure(picture: Picture) -> Measurement:
    pixels: Picture = picture if picture.ndim == 3 else picture[..., np.newaxis]
    return measure(DecodedImage(pixels, 8 * pixels.dtype.itemsize))


@cache
def _own(seed: int) -> Measurement:
    return _measure(_draw(seed))


def _found(context: AuditContext) -> dict[str, tuple[str, ...]]:
    """Return what is said of images, without number and classes → the images."""
    return {_words(finding): finding.image_ids for finding in image_quality(context).findings}


def _words(finding: Finding) -> str:
    return finding.message.split(" ", 2)[2].split(" (")[0]


def _as_jpeg(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def _scaled(picture: Picture, factor: float, around: float = 0.0) -> Picture:
    """Return grey values moved away from `around` (0..255) by a factor, cut off at black and white."""
    moved = (picture.astype(np.float64) - around) * factor + around
    return np.asarray((moved + 0.5).clip(0, 255), dtype=np.uint8)


def _blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 3))


FLAWS: dict[str, tuple[Callable[[Picture], Picture], set[str]]] = {
    "dark": (lambda picture: _scaled(picture, 0.25), {DARK}),
    "washed out": (lambda picture: _scaled(picture, 0.25, 255), {BRIGHT}),
    "overexposed": (lambda picture: _scaled(picture, 2.5), {WHITE, BRIGHT}),
    "underexposed": (lambda picture: _scaled(picture, 2.5, 230), {BLACK, DARK}),
    "flat": (lambda picture: _scaled(picture, 0.2, 110), {FLAT}),
    "blurred": (_blurred, {BLURRY}),
    "compressed": (lambda picture: _as_jpeg(picture, 10), {BLOCKS}),
    "inverted": (lambda picture: 255 - picture, {INVERTED}),
    "rotated": (lambda picture: picture[::-1, ::-1], {TURNED}),
    "flipped": (lambda picture: picture[::-1], {TURNED}),
}


def test_drawn_pictures_without_a_flaw_are_passed_in_silence(tmp_path: Path) -> None:
    checked = image_quality(_with_pictures(clean_cohort(tmp_path), tmp_path, {}))
    assert checked.findings == ()
    assert checked.did.startswith("108 images scored: blank, dark, bright, ")
    assert "inverted, upside-down (common layout, r 0." in checked.did


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_and_told_with_its_score(flaw: str, tmp_path: Path) -> None:
    spoil, words = FLAWS[flaw]
    bad = ["train-sick-003", "test-healthy-001"]
    spoiled = {image: spoil(_draw(1000 + number)) for number, image in enumerate(bad)}
    (finding,) = image_quality(_with_pictures(clean_cohort(tmp_path), tmp_path, spoiled)).findings
    assert _words(finding) in words
    assert (finding.severity, finding.remedy, finding.count) == ("warning", "look", 2)
    assert set(finding.image_ids) == set(finding.notes) == set(bad)
    assert all(0 <= float(note.removeprefix("score ")) <= 1 for note in finding.notes.values())
    assert finding.message.endswith("(sick: 1, healthy: 1)") or finding.message.endswith(
        "(healthy: 1, sick: 1)"
    )


@pytest.mark.parametrize(
    "empty",
    [
        np.full((100, 200), 51, dtype=np.uint8),
        np.full((200, 100, 3), 255, dtype=np.uint8),
        np.full((50, 50), 40_000, dtype=np.uint16),
        np.random.default_rng(0).integers(90, 93, (80, 80), dtype=np.uint8),
    ],
    ids=["one value", "one colour", "16 bits", "nearly one value"],
)
def test_an_image_that_shows_nothing_is_blank_and_nothing_else(empty: Picture, tmp_path: Path) -> None:
    context = _with_pictures(clean_cohort(tmp_path), tmp_path, {"train-sick-000": empty})
    (finding,) = image_quality(context).findings
    assert finding.message == "1 image blank: one value, or nearly (sick: 1)"
    assert (finding.severity, finding.remedy, finding.image_ids) == (
        "warning",
        "exclude",
        ("train-sick-000",),
    )


def test_a_dark_image_of_sixteen_bits_is_dark_and_not_blank(tmp_path: Path) -> None:
    dark = np.random.default_rng(0).integers(0, 300, (64, 64), dtype=np.uint16)
    found = _found(_with_pictures(clean_cohort(tmp_path), tmp_path, {"train-sick-000": dark}))
    assert found[DARK] == ("train-sick-000",)
    assert not any("blank" in words for words in found)


def test_a_mask_is_not_blank(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[40:60, 40:60] = 255
    found = _found(_with_pictures(clean_cohort(tmp_path), tmp_path, {"train-sick-000": mask}))
    assert not any("blank" in words for words in found)


def test_a_vendor_that_inverts_a_sixth_of_the_cohort_is_a_flaw(tmp_path: Path) -> None:
    bad = ids("train", "sick", 18)
    spoiled = {image: 255 - _draw(number) for number, image in enumerate(bad)}
    (finding,) = image_quality(_with_pictures(clean_cohort(tmp_path), tmp_path, spoiled)).findings
    assert (finding.severity, finding.count, _words(finding)) == ("warning", 18, INVERTED)


def test_a_dark_modality_is_told_once_and_only_as_information(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    names = [str(name) for name in context.measurements.index]
    share = np.linspace(0.2, 0.4, len(names))
    pictures = {name: _scaled(_draw(i), float(share[i])) for i, name in enumerate(names)}
    dark = [
        f for f in image_quality(_with_pictures(context, tmp_path, pictures)).findings if DARK in f.message
    ]
    assert [finding.severity for finding in dark] == ["info"]
    assert "describes the modality" in dark[0].message
    assert dark[0].count > 10


def test_a_black_image_in_a_dark_modality_is_still_a_flaw(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    pictures = {str(name): _scaled(_draw(i), 0.3) for i, name in enumerate(context.measurements.index)}
    pictures["test-sick-002"] = _scaled(_draw(7), 0.05)
    found = image_quality(_with_pictures(context, tmp_path, pictures)).findings
    assert [f.image_ids for f in found if DARK in f.message and f.severity == "warning"] == [
        ("test-sick-002",)
    ]


def test_the_worst_image_comes_first(tmp_path: Path) -> None:
    factors = {"train-sick-000": 0.3, "train-sick-001": 0.1, "train-sick-002": 0.2}
    spoiled = {image: _scaled(_draw(5), factor) for image, factor in factors.items()}
    found = _found(_with_pictures(clean_cohort(tmp_path), tmp_path, spoiled))
    assert found[DARK] == ("train-sick-001", "train-sick-002", "train-sick-000")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"width": 2, "height": 3}, "of odd size"),
        ({"width": 80, "height": 80}, "of odd size"),
        ({"width": 16, "height": 4}, "of odd side ratio"),
    ],
)
def test_an_odd_size_among_its_peers_is_found(cells: dict[str, int], words: str, tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ["val-sick-001"], **cells)
    assert _found(context) == {words: ("val-sick-001",)}


def test_sizes_that_vary_have_no_odd_one(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    rows = context.dataset.rows
    rows["width"] = rows["height"] = np.resize([500, 900, 1400, 2700], len(rows))
    assert _found(context) == {}


def test_without_a_common_layout_it_is_said_that_turns_were_not_judged(tmp_path: Path) -> None:
    did = image_quality(clean_cohort(tmp_path)).did
    assert "inverted, upside-down not judged: no common layout" in did


def test_an_unreadable_image_is_passed_over(tmp_path: Path) -> None:
    figures = {name: float("nan") for name in ("mean", "minimum", "maximum", "commonest_share", "p99")}
    context = with_measurements(clean_cohort(tmp_path), ["train-sick-000"], readable=False, **figures)
    assert image_quality(context).findings == ()


def test_without_a_readable_image_the_check_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="no image can be read"):
        image_quality(clean_cohort(tmp_path, {}))


@pytest.mark.slow
@pytest.mark.parametrize("flaw", FLAWS)
def test_flaws_planted_in_real_x_rays_are_found(flaw: str, shared_data: Path, tmp_path: Path) -> None:
    spoil, words = FLAWS[flaw]
    folder = shared_data / "chest_xray" / "test"
    context = clean_cohort(tmp_path, {"train": 150})
    files = [*sorted(folder.glob("NORMAL/*"))[:150], *sorted(folder.glob("PNEUMONIA/*"))[:150]]
    names = [str(name) for name in context.measurements.index]
    pictures = {
        name: read_image(str(file)).as_uint8()[..., 0] for name, file in zip(names, files, strict=True)
    }
    clean = image_quality(_with_pictures(context, tmp_path, pictures)).findings
    assert sum(finding.count for finding in clean) <= 3
    spoiled = names[::15]
    pictures |= {name: spoil(pictures[name]) for name in spoiled}
    found = _found(_with_pictures(context, tmp_path, pictures))
    hits = set().union(*(set(images) for said, images in found.items() if said in words)) & set(spoiled)
    assert len(hits) >= 0.9 * len(spoiled)


def test_every_figure_of_a_measurement_is_a_column(tmp_path: Path) -> None:
    looks = measure(DecodedImage(_draw(0)[..., np.newaxis], 8)).statistics
    assert looks is not None
    assert set(asdict(looks)) <= set(clean_cohort(tmp_path).measurements.columns)


def test_a_mixture_of_modalities_is_not_called_bad(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    names = [str(name) for name in context.measurements.index]
    pictures = {name: _scaled(_draw(i), (1.0, 1.0, 0.5)[i % 3]) for i, name in enumerate(names)}
    found = image_quality(_with_pictures(context, tmp_path, pictures)).findings
    assert not any(DARK in finding.message for finding in found)


def test_a_seventh_of_the_cohort_made_flat_cannot_hide_itself(tmp_path: Path) -> None:
    bad = [*ids("train", "sick", 15)]
    spoiled = {image: _scaled(_draw(number), 0.35, 110) for number, image in enumerate(bad)}
    found = _found(_with_pictures(clean_cohort(tmp_path), tmp_path, spoiled))
    assert set(found[FLAT]) == set(bad)
