"""Batches, class weights and normalisation."""

import numpy as np
import pytest
import torch

from medimg_cli.runs.run import Normalisation
from medimg_cli.training.batches import PixelBatches, balanced_weights, measure_normalisation
from medimg_cli.training.device import Normaliser

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)


def batches(size: int = 5, count: int = 10) -> PixelBatches:
    positions = np.arange(11, 11 - count, -1)
    return PixelBatches(PIXELS, positions, targets=np.arange(count) % 2, batch_size=size)


def test_in_order_gives_the_split_in_its_order() -> None:
    found = list(batches().in_order())
    assert [len(batch) for batch in found] == [5, 5]
    assert torch.equal(found[0].inputs[0], torch.from_numpy(PIXELS[11]).permute(2, 0, 1))
    assert torch.cat([batch.targets for batch in found]).tolist() == [0, 1] * 5
    assert np.concatenate([batch.places for batch in found]).tolist() == list(range(10))


def test_shuffling_keeps_pairs_together_and_follows_the_generator() -> None:
    def drawn(seed: int) -> list[tuple[int, int, int]]:
        found = batches(count=10).shuffled(torch.Generator().manual_seed(seed))
        return [
            (int(image.sum()), int(target), int(place))
            for batch in found
            for image, target, place in zip(batch.inputs, batch.targets, batch.places, strict=True)
        ]

    plain = [(int(PIXELS[11 - index].astype(int).sum()), index % 2, index) for index in range(10)]
    assert drawn(1) == drawn(1) != drawn(2)
    assert sorted(drawn(1)) == sorted(plain)


def test_a_last_batch_of_one_is_left_out_of_training_only() -> None:
    assert [len(batch) for batch in batches(3).shuffled(torch.Generator())] == [3, 3, 3]
    assert [len(batch) for batch in batches(3).in_order()] == [3, 3, 3, 1]


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    weights = balanced_weights(np.array([0, 0, 0, 1]), classes=3)
    assert weights.tolist() == pytest.approx([4 / 9, 4 / 3, 0])


def test_normalised_training_images_have_mean_zero_and_deviation_one() -> None:
    split = batches(count=12)
    normaliser = Normaliser(measure_normalisation(split), torch.device("cpu"))
    whole = torch.cat([normaliser(batch.inputs) for batch in split.in_order()])
    assert whole.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert whole.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_normalisation_is_in_units_of_one() -> None:
    normaliser = Normaliser(Normalisation(mean=(0.5,), std=(0.25,)), torch.device("cpu"))
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert normaliser(images).flatten().tolist() == pytest.approx([-2, 2])


def test_sixteen_bit_pixels_come_in_the_same_units_with_their_fractions() -> None:
    narrow = batches(count=12)
    wide = PixelBatches(
        PIXELS.astype(np.uint16) * np.uint16(257), narrow.positions, targets=narrow.targets, batch_size=5
    )
    for expected, found in zip(narrow.in_order(), wide.in_order(), strict=True):
        assert found.inputs.dtype == torch.float32
        assert torch.equal(found.inputs, expected.inputs.float())
    for own, other in zip(measure_normalisation(wide), measure_normalisation(narrow), strict=True):
        assert own[1] == pytest.approx(other[1])
    finer = PixelBatches(
        np.full((1, 2, 2, 1), 300, dtype=np.uint16), np.array([0]), targets=np.array([0]), batch_size=1
    )
    assert next(finer.in_order()).inputs.max().item() == pytest.approx(300 / 257)
