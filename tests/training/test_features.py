"""Features of a split: one plain view and some varied ones, drawn anew in each epoch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.fitting.features import FeatureBatches, Views, collect_features, head_plan, views_of
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.networks.backbone import Backbone
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import TrainSettings

PLAN = TrainingPlan(
    epochs=12,
    lr=5e-4,
    weight_decay=0.0,
    label_smoothing=0.0,
    class_weights=torch.ones(2),
    ema=0.0,
    augment=preset("light"),
    monitor="auroc",
    patience=8,
    positive=(1,),
    seed=0,
    device=torch.device("cpu"),
)
COUNT = 11
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT + 3, 12, 12, 1), dtype=np.uint8)
IMAGES = PixelBatches(PIXELS, np.arange(3, COUNT + 3), targets=np.arange(COUNT) % 2, batch_size=4)


class Mean(nn.Module):
    """Its backbone is the mean of an image, its head one weight a class."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(images.mean(dim=(2, 3)))
        return logits


def collected(look: Views) -> FeatureBatches:
    return collect_features(
        Backbone(Mean()), IMAGES, lambda images: images.float(), SilentProgress(), "", look
    )


def numbered(views: int, *, count: int = COUNT, even: bool = False) -> FeatureBatches:
    """Return features that say which view (hundreds) of which image they are."""
    values = torch.arange(views)[:, None] * 100.0 + torch.arange(count)
    targets = np.zeros(count, dtype=np.int64)
    targets[:2] = 1
    return FeatureBatches(values[:, :, None], targets=targets, batch_size=4, even=even)


def seen(batches: FeatureBatches, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(value) for batch in batches.shuffled(generator) for value in batch.inputs[:, 0]]


def test_features_stand_in_the_order_of_the_split() -> None:
    found = torch.cat([batch.inputs for batch in collected(Views(preset("none"))).in_order()])
    means = PIXELS[3:].mean(axis=(1, 2, 3))
    assert found[:, 0].numpy() == pytest.approx(means, rel=1e-5)


def test_only_views_after_the_first_are_varied_and_the_seed_gives_them_again() -> None:
    first, again, other = (collected(Views(preset("light"), 3, seed)).features for seed in (1, 1, 2))
    plain = collected(Views(preset("none"))).features[0]
    assert torch.equal(first[0], plain)
    assert not torch.isclose(first[1], plain).any()
    assert not torch.isclose(first[1], first[2]).any()
    assert torch.equal(first, again)
    assert not torch.isclose(first[1:], other[1:]).any()


def test_an_epoch_shows_every_image_once_as_one_of_its_views() -> None:
    batches = numbered(3)
    first = seen(batches, 0)
    assert sorted(value % 100 for value in first) == list(range(COUNT))
    assert {value // 100 for value in first} == {0, 1, 2}
    assert seen(batches, 0) == first != seen(batches, 1)


def test_targets_stay_beside_their_features() -> None:
    batches = numbered(2)
    for batch in batches.shuffled(torch.Generator().manual_seed(0)):
        assert [int(value) % 100 < 2 for value in batch.inputs[:, 0]] == [bool(t) for t in batch.targets]
        assert [int(value) % 100 for value in batch.inputs[:, 0]] == batch.places.tolist()


def test_validation_sees_images_as_they_are() -> None:
    values = torch.cat([batch.inputs for batch in numbered(3).in_order()])
    assert values[:, 0].tolist() == list(range(COUNT))
    assert numbered(3).batches == 3


def test_an_even_sampler_draws_the_rare_class_as_often() -> None:
    drawn = seen(numbered(2, count=400, even=True), 0)
    rare = sum(value % 100 < 2 for value in drawn) / len(drawn)
    assert 0.4 < rare < 0.6


def test_what_the_settings_leave_open_follows_from_the_head() -> None:
    open_plan = head_plan(PLAN, TrainSettings(), 134)
    assert open_plan.lr > PLAN.lr
    assert open_plan.epochs > PLAN.epochs
    assert head_plan(PLAN, TrainSettings(), 20).epochs == 50
    said = TrainSettings(epochs=3, lr=0.5, patience=2)
    chosen = head_plan(PLAN, said, 134)
    assert (chosen.epochs, chosen.lr, chosen.patience) == (3, 0.5, 2)
    assert replace(chosen, epochs=12, lr=5e-4, patience=8, augment=PLAN.augment) == PLAN


def test_features_are_not_varied_as_pixels_are() -> None:
    features = torch.full((2, 5), 7.0)
    assert torch.equal(head_plan(PLAN, TrainSettings(), 134).augment(features, torch.Generator()), features)


def test_only_few_images_are_worth_several_views() -> None:
    assert [views_of(count, "light") for count in (999, 1000)] == [4, 1]
    assert views_of(10, "none") == 1
