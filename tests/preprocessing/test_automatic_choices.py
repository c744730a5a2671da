"""The rules of the plan, one case a line, and the file they are written to."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from medimg_cli.errors import UsageError
from medimg_cli.preprocessing.automatic_choices import (
    DataFacts,
    augment_for,
    batch_for,
    channels_for,
    epochs_for,
    network_for,
    patience_for,
    side_for,
)
from medimg_cli.workspace.config import Choice, load_settings, plan_text, planned_for, write_plan
from medimg_cli.workspace.workspace import Workspace

MIB = 1 << 20


def facts(**changed: Any) -> DataFacts:
    usual: dict[str, Any] = {
        "images": 800,
        "val_images": 100,
        "patients": 400,
        "counts": {"well": 600, "ill": 200},
        "side_px": 300,
        "channels": 1,
        "bit_depth": 8,
    }
    return DataFacts(**(usual | changed))


@pytest.mark.parametrize(
    ("weights", "fitting", "changed", "device", "network"),
    [
        ("none", None, {}, "cpu", "small-cnn"),
        ("none", None, {"images": 90_000}, "cpu", "small-cnn"),
        ("none", None, {"images": 90_000}, "cuda", "resnet18"),
        ("none", None, {"images": 90_000, "side_px": 64}, "cuda", "small-cnn"),
        ("none", None, {}, "cuda", "small-cnn"),
        ("imagenet", None, {}, "cpu", "mobilenet_v2"),
        ("imagenet", None, {}, "cuda", "resnet18"),
        ("imagenet", None, {"images": 5_000}, "mps", "resnet50"),
        ("v.pth", "vgg16", {}, "cpu", "vgg16"),
    ],
)
def test_the_network_follows_weights_device_and_data(
    weights: str, fitting: str | None, changed: dict[str, Any], device: str, network: str
) -> None:
    assert network_for(weights, fitting, facts(**changed), device).value == network


@pytest.mark.parametrize(
    ("modality", "body_part", "preset"),
    [
        ("CR", "", "cxr"),
        ("DX", "HAND", "cxr"),
        ("US", "", "us"),
        ("OP", "", "fundus"),
        ("SM", "", "histo"),
        ("XC", "SKIN", "derm"),
        ("XC", "", "strong"),
        ("CT", "", "ct"),
        ("MR", "HEAD", "mr"),
        ("MG", "", "strong"),
        ("", "", "strong"),
    ],
)
def test_the_augmentation_follows_the_modality_alone(modality: str, body_part: str, preset: str) -> None:
    assert augment_for(facts(modality=modality, body_part=body_part)).value == preset
    assert augment_for(facts(channels=3)).value == "strong"


@pytest.mark.parametrize(
    ("images", "image_mib", "free_mib", "size"),
    [
        (501, 1, None, 32),
        (500, 1, None, 16),
        (5000, 10, 10_000, 32),
        (5000, 10, 400, 16),
        (5000, 1000, 400, 1),
        (100, 20, 400, 8),
    ],
)
def test_the_batch_follows_images_and_memory(
    images: int, image_mib: int, free_mib: int | None, size: int
) -> None:
    free = None if free_mib is None else free_mib * MIB
    assert batch_for(images, image_mib * MIB, 0, free).value == size


def test_what_a_training_always_holds_counts_too() -> None:
    assert batch_for(5000, 10 * MIB, 100 * MIB, 700 * MIB).value == 16
    assert "MiB are free" in batch_for(5000, 10 * MIB, 100 * MIB, 700 * MIB).reason


@pytest.mark.parametrize(("steps", "epochs"), [(200, 12), (84, 12), (83, 13), (50, 20), (10, 60), (1, 60)])
def test_few_images_get_more_epochs(steps: int, epochs: int) -> None:
    assert epochs_for(12, steps).value == epochs


@pytest.mark.parametrize(("epochs", "patience"), [(12, 8), (26, 8), (27, 9), (60, 20)])
def test_patience_is_a_third_but_eight_at_least(epochs: int, patience: int) -> None:
    assert patience_for(epochs).value == patience


@pytest.mark.parametrize(("own", "side"), [(300, 128), (64, 64), (20, 28)])
def test_images_are_not_enlarged_beyond_their_own_size(own: int, side: int) -> None:
    assert side_for(128, facts(side_px=own)).value == side
    assert channels_for(facts(channels=3)).value == 3


CHOICES = [
    Choice("preprocess.size", 64, "because: of # this"),
    Choice("train.arch", "small-cnn", "the default"),
    Choice("train.epochs", 7, "a rule"),
    Choice("train.lr", 0.004, "another"),
    Choice("train.augment", "cxr", "every image is a radiograph"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    write_plan(made.plan_path, plan_text(CHOICES, about="ten images", dataset_hash="abc"))
    return made


def test_a_plan_is_yaml_whose_reasons_are_comments(workspace: Workspace) -> None:
    text = workspace.plan_path.read_text()
    assert yaml.safe_load(text) == {
        "data": "abc",
        "preprocess": {"size": 64},
        "train": {"arch": "small-cnn", "epochs": 7, "lr": 0.004, "augment": "cxr"},
    }
    assert "# every image is a radiograph" in text
    assert planned_for(workspace) == "abc"


def test_a_plan_lies_over_the_defaults_and_below_everything_else(workspace: Workspace) -> None:
    assert load_settings(workspace).train.epochs == 7
    assert load_settings(workspace, planned=False).train.epochs is None
    workspace.settings_path.write_text("train: {epochs: 8}\n")
    settings = load_settings(workspace, options={"train": {"lr": 0.1}})
    assert (settings.train.epochs, settings.train.lr, settings.train.augment) == (8, 0.1, "cxr")
    assert settings.preprocess.size == 64


def test_what_follows_from_the_network_is_left_out_for_another_one(workspace: Workspace) -> None:
    said: list[str] = []
    settings = load_settings(workspace, options={"train": {"arch": "vgg16", "epochs": 3}}, note=said.append)
    assert (settings.train.lr, settings.preprocess.size, settings.train.augment) == (None, "auto", "cxr")
    assert settings.train.epochs == 3
    (line,) = said
    assert line.startswith("plan.yaml is for arch small-cnn, not vgg16")
    load_settings(workspace, options={"train": {"arch": "small-cnn"}}, note=said.append)
    assert len(said) == 1


def test_a_wrong_plan_is_refused_like_any_settings(workspace: Workspace) -> None:
    workspace.plan_path.write_text("train: {epoch: 3}\n")
    with pytest.raises(UsageError, match=r"unknown setting 'train\.epoch'"):
        load_settings(workspace)
    workspace.plan_path.write_text("train: 3\n")
    with pytest.raises(UsageError, match="section 'train' holds 3"):
        load_settings(workspace)


def test_an_edited_plan_is_not_lost(workspace: Workspace) -> None:
    workspace.plan_path.write_text("train: {epochs: 9}\n")
    kept = write_plan(workspace.plan_path, plan_text(CHOICES, about="", dataset_hash="abc"))
    assert kept is not None
    assert kept.read_text() == "train: {epochs: 9}\n"
    assert write_plan(workspace.plan_path, workspace.plan_path.read_text()) is None
