"""The plan follows settings, network and number of images."""

import numpy as np
import pytest
import torch

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.fitting.plan import TrainingPlan, plan_training
from medimg_cli.training.networks.networks import architecture
from medimg_cli.workspace.settings import TrainSettings

LABELS = LabelSpace(("well", "ill"), "ill")


def planned(images: int, **options: object) -> TrainingPlan:
    targets = (np.arange(images) % 4 == 0).astype(np.int64)
    pixels = np.zeros((1, 8, 8, 1), dtype=np.uint8)
    batches = PixelBatches(pixels, np.zeros(images, dtype=np.int64), targets=targets, batch_size=32)
    return plan_training(
        TrainSettings.model_validate({"augment": "light"} | options), batches, LABELS, torch.device("cpu")
    )


def test_many_images_get_the_networks_own_epochs() -> None:
    assert planned(32 * 200).epochs == architecture("small-cnn").epochs


def test_what_is_set_is_kept() -> None:
    plan = planned(100, epochs=3, lr=0.5, patience=2, class_weights="none")
    assert (plan.epochs, plan.lr, plan.patience) == (3, 0.5, 2)
    assert plan.class_weights.tolist() == [1, 1]


def test_classes_weigh_the_same_by_default() -> None:
    assert planned(100).class_weights.tolist() == pytest.approx([2 / 3, 2])
    assert planned(100).positive == (1,)
