"""Which way is up and which is bright, told by the pictures themselves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.audit import orientation as common_layout
from medimg_cli.audit.measurements.thumbnails import SIDE_PX
from medimg_cli.audit.orientation import CommonLayout, fit_common_layout, why_no_up

Pictures = NDArray[np.uint8]


def draw_layout(count: int, *, seed: int = 0) -> Pictures:
    """Return pictures (N, SIDE_PX, SIDE_PX) that are bright below and have a dark spot above, each with noise."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    spot = 0.5 * np.exp(-((down - 0.3) ** 2 + (across - 0.4) ** 2) / 0.02)
    noise = generator.normal(0, 0.1, (count, SIDE_PX, SIDE_PX))
    return np.asarray((255 * (0.2 + 0.6 * down - spot + noise)).clip(0, 255), dtype=np.uint8)


def _fit(pictures: Pictures) -> CommonLayout:
    def of(image_ids: Sequence[str]) -> Pictures:
        return pictures[[int(image) for image in image_ids]]

    return fit_common_layout([str(number) for number in range(len(pictures))], of)


def _found(found: NDArray[np.bool_]) -> list[int]:
    return [int(place) for place in np.flatnonzero(found)]


def test_pictures_alike_have_a_layout_that_tells_up() -> None:
    layout = _fit(draw_layout(40))
    assert layout.is_common
    assert layout.tells_up
    assert _found(layout.inverted()) == _found(layout.upside_down()) == []


def test_a_negative_and_a_turned_picture_are_told_apart() -> None:
    pictures = draw_layout(60)
    down, across = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    body = (160 * (np.abs(across - 0.5) < 0.3)).astype(np.float64) + 60 * down  # stays a body when turned
    pictures = (pictures // 4 + body).astype(np.uint8)
    pictures[3] = 255 - pictures[3]
    pictures[7] = pictures[7, ::-1]
    pictures[9] = pictures[9, ::-1, ::-1]
    layout = _fit(pictures)
    assert _found(layout.inverted()) == [3]
    assert _found(layout.upside_down()) == [7, 9]


def test_a_mirrored_picture_is_not_upside_down() -> None:
    pictures = draw_layout(40)
    pictures[5] = pictures[5, :, ::-1]
    assert _found(_fit(pictures).upside_down()) == []


def test_pictures_of_anything_have_no_common_layout() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, SIDE_PX, SIDE_PX), dtype=np.uint8)
    layout = _fit(pictures)
    assert not layout.is_common
    assert _found(layout.inverted()) == []


def test_a_round_field_does_not_tell_up() -> None:
    down, across = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX - 0.5
    disc = 200.0 * (down**2 + across**2 < 0.2)
    noise = np.random.default_rng(0).normal(0, 15, (30, SIDE_PX, SIDE_PX))
    pictures = (30 + disc + noise).clip(0, 255).astype(np.uint8)
    pictures[2] = 255 - pictures[2]
    layout = _fit(pictures)
    assert layout.is_common
    assert not layout.tells_up
    assert (_found(layout.inverted()), _found(layout.upside_down())) == ([2], [])


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_pictures_have_no_layout(count: int) -> None:
    layout = _fit(draw_layout(count))
    assert not layout.is_common
    assert len(layout.inverted()) == len(layout.upside_down()) == count


def test_a_picture_of_one_value_fits_nothing_and_disturbs_nothing() -> None:
    pictures = draw_layout(40)
    pictures[0] = 90
    layout = _fit(pictures)
    assert layout.upright[0] == layout.turned[0] == 0
    assert layout.is_common


def test_blocks_and_a_sample_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = draw_layout(50)
    pictures[11] = pictures[11, ::-1]
    whole = _fit(pictures)
    monkeypatch.setattr(common_layout, "_BLOCK", 7)
    assert np.allclose(_fit(pictures).upright, whole.upright, atol=1e-6)
    monkeypatch.setattr(common_layout, "_SAMPLE", 10)
    assert np.allclose(_fit(pictures).upright, whole.upright, atol=0.05)
    assert _found(_fit(pictures).upside_down()) == [11]


@pytest.mark.parametrize(
    ("channels", "modality", "names", "has_up"),
    [
        (1, "", ["chest_xray", "NORMAL"], True),
        (3, "", ["images"], False),
        (1, "US", ["images"], False),
        (1, "DX", ["images"], True),
        (1, "", ["breast_ultrasound", "benign"], False),
        (1, "", ["images", "blood smear"], False),
    ],
)
def test_only_some_kinds_of_pictures_have_an_up(
    channels: int, modality: str, names: list[str], has_up: bool
) -> None:
    rows = pd.DataFrame({"channels": [channels] * 4, "modality": [modality] * 4})
    assert (why_no_up(rows, names) == "") is has_up
    assert (why_no_up(rows.drop(columns="modality"), names) == "") is (has_up or modality == "US")
