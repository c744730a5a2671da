"""Augmentation: seeded, in range, by name."""

import pytest
import torch

from medimg_cli.errors import UsageError
from medimg_cli.learning.augment import PRESETS, preset

IMAGES = torch.randint(0, 256, (6, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preset_keeps_shape_and_range(name: str, channels: int) -> None:
    images = IMAGES.expand(-1, channels, -1, -1)
    changed = preset(name)(images, torch.Generator().manual_seed(1))
    assert changed.shape == images.shape
    assert float(changed.min()) >= 0 and float(changed.max()) <= 255


def test_the_same_generator_gives_the_same_changes() -> None:
    first, again, other = (preset("light")(IMAGES, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_of_a_batch_are_changed_each_in_its_own_way() -> None:
    same = IMAGES[:1].expand(4, -1, -1, -1)
    changed = preset("light")(same, torch.Generator().manual_seed(1))
    assert not torch.equal(changed[0], changed[1])


def test_the_originals_stay_as_they_are() -> None:
    before = IMAGES.clone()
    preset("light")(IMAGES, torch.Generator().manual_seed(1))
    assert torch.equal(IMAGES, before)


def test_an_unknown_preset_gets_a_proposal() -> None:
    with pytest.raises(UsageError) as caught:
        preset("ligth")
    assert caught.value.hint == "did you mean 'light'?"


def test_a_batch_of_floats_is_not_changed_in_place() -> None:
    images = torch.rand(2, 1, 8, 8) * 255
    before = images.clone()
    preset("light")(images, torch.Generator().manual_seed(0))
    assert torch.equal(images, before)
