"""Views of an image: those the preset knows, the same whenever they are asked for."""

import pytest
import torch
from torch import Tensor

from medimg_cli.errors import RunError
from medimg_cli.training.augmentation.augment import PRESETS, View, views_of

MOVING = [name for name in PRESETS if name != "none"]


def picture(kind: torch.dtype = torch.uint8, channels: int = 1) -> Tensor:
    drawn = torch.randint(0, 256, (2, channels, 12, 12), generator=torch.Generator().manual_seed(1))
    return drawn.to(kind)


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preset_has_its_views_and_the_plain_one_is_first(
    name: str, kind: torch.dtype, channels: int
) -> None:
    images, views = picture(kind, channels), views_of(name)
    seen = [view(images) for view in views]
    assert torch.equal(seen[0], images)
    for number, one in enumerate(seen):
        assert (one.shape, one.dtype) == (images.shape, kind)
        assert torch.equal(one, views[number](images))
        assert not any(torch.equal(one, other) for other in seen[:number])


def test_presets_that_keep_sides_apart_are_never_mirrored() -> None:
    for name, preset in PRESETS.items():
        if name != "none" and not preset.ranges.mirror:
            assert not any(view.mirrored or view.quarters for view in views_of(name))


def test_what_is_turned_and_mirrored_is_seen_in_all_eight_ways() -> None:
    images = picture()
    seen = [view(images) for view in views_of("histo")]
    assert len(seen) == 8
    for one in seen:
        # Eight of eight: to turn or mirror any of them gives another of them.
        assert any(torch.equal(one.flip(3), other) for other in seen)
        assert any(torch.equal(torch.rot90(one, 1, (2, 3)), other) for other in seen)


def test_no_view_moves_an_image_further_than_its_preset() -> None:
    for name in MOVING:
        ranges = PRESETS[name].ranges
        for view in views_of(name):
            assert abs(view.turn_deg) <= ranges.rotation_deg
            assert view.zoom <= 1 + ranges.scale


def test_a_zoom_keeps_the_centre_and_enlarges_about_it() -> None:
    images = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    images[:, :, 12:21, 12:21] = 200
    larger = View(zoom=1.5)(images)
    assert larger[0, 0, 16, 16] == 200
    assert (larger > 100).sum() == pytest.approx(81 * 1.5**2, rel=0.1)
    assert torch.equal(larger, larger.flip(3))


def test_a_preset_that_moves_nothing_has_no_views() -> None:
    with pytest.raises(RunError, match="no view of an image but the plain one"):
        views_of("none")
    with pytest.raises(RunError, match="--augment sonar, which is not known"):
        views_of("sonar")
