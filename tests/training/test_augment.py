"""Augmentation: seeded, in range, by name, and each change does what it says."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from medimg_cli.errors import UsageError
from medimg_cli.training.augmentation.augment import PRESETS, preset
from medimg_cli.training.augmentation.augment_pixels import AugmentRanges, change_pixels

IMAGES = torch.randint(0, 256, (6, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
COLOURS = torch.randint(0, 256, (6, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CHANGING = [name for name in PRESETS if name != "none"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(images: Tensor, seed: int = 1, **ranges: object) -> Tensor:
    return change_pixels(images, seeded(seed), AugmentRanges(**ranges))  # type: ignore[arg-type]


def ramp(channels: int = 1) -> Tensor:
    """Return six equal images that brighten to the right and, more slowly, downwards."""
    across = torch.arange(32).mul(5).expand(32, 32) + torch.arange(32).mul(2).unsqueeze(1)
    return across.to(torch.uint8).expand(6, channels, 32, 32).contiguous()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_every_preset_keeps_shape_and_range(name: str, channels: int, kind: torch.dtype) -> None:
    images = IMAGES.expand(-1, channels, -1, -1).to(kind)
    result = preset(name)(images, seeded(1))
    assert result.shape == images.shape
    assert float(result.min()) >= 0 and float(result.max()) <= 255


@pytest.mark.parametrize("name", CHANGING)
def test_the_same_generator_gives_the_same_changes(name: str) -> None:
    first, again, other = (preset(name)(IMAGES, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", CHANGING)
def test_images_of_a_batch_are_changed_each_in_its_own_way(name: str) -> None:
    result = preset(name)(IMAGES[:1].expand(4, -1, -1, -1), seeded(1))
    assert not torch.equal(result[0], result[1])


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", CHANGING)
def test_the_originals_stay_as_they_are(name: str, kind: torch.dtype) -> None:
    images = COLOURS.to(kind)
    before = images.clone()
    preset(name)(images, seeded(1))
    assert torch.equal(images, before)


def test_no_range_changes_nothing() -> None:
    assert torch.equal(changed(COLOURS), COLOURS.to(torch.float32))


@pytest.mark.parametrize("name", ["light", "cxr", "ct", "mr"])
def test_what_has_sides_is_never_mirrored(name: str) -> None:
    ranges = PRESETS[name].ranges
    assert not (ranges.mirror or ranges.upside_down or ranges.quarter_turns)
    assert (
        changed(ramp(), shift=ranges.shift, rotation_deg=ranges.rotation_deg).diff(dim=3).mean() > 0
    ).all()


def test_mirroring_happens_to_half_of_the_images_and_exactly() -> None:
    images = ramp().repeat(50, 1, 1, 1)
    result = changed(images, mirror=True)
    mirrored = [torch.equal(one, images[0].flip(2).float()) for one in result]
    upright = [torch.equal(one, images[0].float()) for one in result]
    assert all(a != b for a, b in zip(mirrored, upright, strict=True))
    assert 110 < sum(mirrored) < 190


def test_quarter_turns_are_exact() -> None:
    image = ramp()[0].float()
    wanted = [torch.rot90(image, turns, (1, 2)) for turns in range(4)]
    result = changed(ramp().repeat(10, 1, 1, 1), quarter_turns=True)
    seen = {
        next(turns for turns in range(4) if torch.allclose(one, wanted[turns], atol=1.01)) for one in result
    }
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_exposure_changes_by_what_is_allowed_and_no_more(kind: torch.dtype) -> None:
    grey = torch.full((200, 1, 8, 8), 128).to(kind)
    means = changed(grey, brightness=0.2).mean(dim=(1, 2, 3)) / 255
    assert 0.30 < float(means.min()) < 0.33 and 0.67 < float(means.max()) < 0.71
    spread = (
        changed(ramp().repeat(30, 1, 1, 1).to(kind), contrast=0.1).std(dim=(1, 2, 3))
        / ramp()[0].float().std()
    )
    assert 0.9 < float(spread.min()) < 0.95 and 1.05 < float(spread.max()) < 1.11


def test_bytes_and_floats_are_changed_alike() -> None:
    ranges = replace(PRESETS["light"].ranges, erase_probability=0.0)
    whole = change_pixels(IMAGES, seeded(4), ranges)
    fine = change_pixels(IMAGES.float(), seeded(4), ranges)
    assert float((whole - fine).abs().mean()) < 1.5


def test_more_than_eight_bits_survive() -> None:
    fine = ramp().float() + 0.25
    assert torch.equal(changed(fine, mirror=True).frac(), torch.full_like(fine, 0.25))


def test_colours_are_changed_in_colour_images_only() -> None:
    assert torch.equal(changed(ramp(), colour=0.3, saturation=0.5), ramp().float())
    tinted = changed(ramp(3), colour=0.3)
    assert not torch.allclose(tinted[:, 0], tinted[:, 1])
    dull = changed(COLOURS, saturation=0.5)
    assert torch.allclose(dull.mean(dim=1), COLOURS.float().mean(dim=1), atol=25)
    assert not torch.equal(dull, COLOURS.float())


def test_noise_has_the_strength_it_says() -> None:
    grey = torch.full((400, 1, 32, 32), 128, dtype=torch.uint8)
    added = changed(grey, noise=0.05).std(dim=(1, 2, 3)) / 255
    assert 0.045 < float(added.max()) < 0.055
    assert float(added.min()) < 0.003
    dark = torch.full((400, 1, 32, 32), 10, dtype=torch.uint8)
    assert float(changed(dark, speckle=0.2).std(dim=(1, 2, 3)).max()) < 3


def test_what_is_erased_is_one_rectangle_of_the_mean() -> None:
    result = changed(IMAGES, erase_probability=1.0, erase_share=0.25)
    for image, before in zip(result, IMAGES.float(), strict=True):
        differs = (image != before)[0].numpy()
        rows, columns = np.where(differs.any(axis=1))[0], np.where(differs.any(axis=0))[0]
        patch = image[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert float(patch.min()) == float(patch.max())
        assert 0.03 < patch.numel() / 576 < 0.3


def test_every_range_is_documented() -> None:
    text = AugmentRanges.__doc__ or ""
    assert [field.name for field in fields(AugmentRanges) if field.name not in text] == []


def test_an_unknown_preset_gets_a_proposal() -> None:
    with pytest.raises(UsageError) as caught:
        preset("ligth")
    assert caught.value.hint == "did you mean 'light'?"
