"""Cutmix: one rectangle of another image, and a label share that is its area."""

import numpy as np
import pytest
import torch

from medimg_cli.training.fitting.losses import cut, mix, mixed_batch

NUMBERS = torch.arange(6, dtype=torch.float32)
IMAGES = NUMBERS[:, None, None, None].expand(6, 2, 12, 20).contiguous(memory_format=torch.channels_last)
TARGETS = torch.arange(6)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(12))
def test_the_share_is_the_area_that_is_left_and_the_rest_is_the_other_image(seed: int) -> None:
    mixed = cut(IMAGES, TARGETS, 1.0, generator(seed))
    for image, own, other in zip(mixed.inputs, NUMBERS, mixed.others, strict=True):
        assert set(image.unique().tolist()) <= {float(own), float(other)}
        if own != other:
            assert float((image == own).float().mean()) == pytest.approx(mixed.share)
    assert sorted(mixed.others.tolist()) == TARGETS.tolist()


def test_what_is_cut_is_one_rectangle_the_same_in_all_images() -> None:
    mixed = cut(IMAGES, TARGETS, 1.0, generator(4))
    taken = [
        (image[0] != own).numpy()
        for image, own, other in zip(mixed.inputs, NUMBERS, mixed.others, strict=True)
        if own != other
    ]
    assert taken[0].any()
    assert all(np.array_equal(one, taken[0]) for one in taken)
    rows, columns = taken[0].any(axis=1), taken[0].any(axis=0)
    assert np.array_equal(taken[0], np.outer(rows, columns))


def test_areas_follow_the_beta_distribution_where_no_border_cuts_them() -> None:
    shares = torch.tensor([cut(IMAGES, TARGETS, 1.0, generator(seed)).share for seed in range(300)])
    # Uniform areas have a mean of 0.5; borders cut what is taken to about half of it.
    assert 0.6 < float(shares.mean()) < 0.85
    assert float(shares.min()) < 0.35


def test_cutting_leaves_the_images_given_and_the_layout_as_they_were() -> None:
    before = IMAGES.clone()
    mixed = cut(IMAGES, TARGETS, 1.0, generator(0))
    assert torch.equal(IMAGES, before)
    assert mixed.inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_plan_says_how_to_mix_and_with_both_either_is_drawn() -> None:
    blended = mix(IMAGES, TARGETS, 0.4, generator(0))
    alone = mixed_batch(IMAGES, TARGETS, generator(0), mixup=0.4, cutmix=0)
    assert torch.equal(alone.inputs, blended.inputs)  # as it was before there was cutmix
    kinds = []
    for seed in range(40):
        values = mixed_batch(IMAGES, TARGETS, generator(seed), mixup=0.4, cutmix=1.0).inputs
        kinds.append(bool((values != values.round()).any()))
    assert 8 < sum(kinds) < 32
