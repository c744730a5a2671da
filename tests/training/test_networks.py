"""Networks by name, for grey and colour, with and without pre-trained weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from medimg_cli.errors import RunError, UsageError
from medimg_cli.training.networks.networks import (
    architecture,
    build_network,
    load_pretrained,
    parameter_count,
    torchvision_names,
)


def answer(name: str, *, channels: int, size_px: int, classes: int = 3) -> torch.Tensor:
    network = build_network(name, classes=classes, channels=channels, size_px=size_px).eval()
    with torch.inference_mode():
        return network(torch.rand(2, channels, size_px, size_px))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name",
    ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "googlenet", "mnasnet0_5"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_classifiers_take_grey_and_colour(name: str, channels: int) -> None:
    assert answer(name, channels=channels, size_px=64).shape == (2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_names())
def test_every_torchvision_classifier_can_be_built_for_grey_images(name: str) -> None:
    assert answer(name, channels=1, size_px=224).shape == (2, 3)


@pytest.mark.parametrize("size_px", [28, 64, 100, 128, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_follows_the_image_size(size_px: int, channels: int) -> None:
    assert answer("small-cnn", channels=channels, size_px=size_px).shape == (2, 3)


def test_an_unknown_name_gets_the_closest_of_all() -> None:
    with pytest.raises(UsageError) as caught:
        architecture("resnet81")
    assert caught.value.hint == "did you mean 'resnet18'?"


def test_folded_grey_weights_answer_as_grey_copied_to_three_channels(tmp_path: Path) -> None:
    colour = build_network("squeezenet1_1", classes=2, channels=3, size_px=64).eval()
    torch.save(colour.state_dict(), tmp_path / "weights.pth")
    grey = build_network("squeezenet1_1", classes=2, channels=1, size_px=64).eval()
    assert load_pretrained(grey, "squeezenet1_1", str(tmp_path / "weights.pth")) == []
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(grey(images), colour(images.expand(-1, 3, -1, -1)), atol=1e-5)


def test_a_backbone_without_classifier_loads_and_the_rest_is_listed(shared_data: Path) -> None:
    network = build_network("vgg16", classes=2, channels=1, size_px=64)
    fresh = load_pretrained(
        network, "vgg16", str(shared_data / "weights" / "vgg16_features_imagenet_tvnorm.pth")
    )
    assert fresh and all(name.startswith("classifier.") for name in fresh)


def test_weights_are_read_without_running_their_code(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("owned",))

    torch.save({"a": Hostile()}, tmp_path / "hostile.pth")
    network = build_network("small-cnn", classes=2, channels=1, size_px=28)
    with pytest.raises(RunError, match="cannot be read as plain weights"):
        load_pretrained(network, "small-cnn", str(tmp_path / "hostile.pth"))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    network = build_network("small-cnn", classes=2, channels=1, size_px=28)
    with pytest.raises(RunError, match="nothing that fits small-cnn"):
        load_pretrained(network, "small-cnn", str(tmp_path / "other.pth"))


def test_parameters_are_counted() -> None:
    assert parameter_count(nn.Linear(3, 2)) == 8


@pytest.mark.parametrize(
    ("name", "gentle"),
    [("vgg16", True), ("alexnet", True), ("squeezenet1_1", True), ("vgg16_bn", False), ("resnet18", False)],
)
def test_networks_without_normalisation_learn_at_a_gentler_rate(name: str, gentle: bool) -> None:
    network = build_network(name, classes=2, channels=1, size_px=64)
    normalised = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert normalised is not gentle
    assert (architecture(name).lr < architecture("resnet50").lr) is gentle
