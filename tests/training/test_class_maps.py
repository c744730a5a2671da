"""Maps of the evidence for each class: found in any architecture, and held against the logits they are made of."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medimg_cli.inference.onnx_network import OnnxNetwork
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.run import Run
from medimg_cli.training.explanation.class_maps import (
    GradientPlace,
    Mapped,
    find_gradient_place,
    find_map_place,
    find_place,
    gradient_maps,
    maps_of,
    method_of,
)
from medimg_cli.training.networks.backbone import pools_its_head
from medimg_cli.training.networks.networks import build_network, torchvision_names
from medimg_cli.training.onnx.export import with_copy
from medimg_cli.workspace.progress import SilentProgress
from tests.inference.test_heatmap import card_of

SIDE_PX = 96
AVERAGING = ("small-cnn", "resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5")
AVERAGING_SLOW = (
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mobilenet_v2",
    "regnet_y_400mf",
    "resnext50_32x4d",
    "swin_t",
    "inception_v3",
)


def network_of(name: str, size_px: int = SIDE_PX, *, pooled: bool = False) -> nn.Module:
    torch.manual_seed(0)
    head = "pooled" if pooled else "own"
    network = build_network(name, classes=3, channels=1, size_px=size_px, head=head)  # type: ignore[arg-type]
    for module in network.modules():  # transformers begin with a head of zeros, which tells no place
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    if name == "googlenet":  # it begins with weights so small that the bias drowns what it makes of an image
        nn.init.normal_(network.get_submodule("fc").get_parameter("weight"), std=1e3)
    return network.eval()


def images(size_px: int = SIDE_PX) -> Tensor:
    return torch.randn(2, 1, size_px, size_px, generator=torch.Generator().manual_seed(1))


def assert_maps_add_up(network: nn.Module, inputs: Tensor) -> None:
    place = find_map_place(network, inputs)
    assert place is not None
    with torch.inference_mode():
        logits, features, maps = Mapped(network, place)(inputs)
        without = logits - maps.mean(dim=(2, 3))
        assert torch.equal(logits, network(inputs))
    assert maps.shape[:2] == logits.shape
    assert len(features) == len(inputs)
    assert (
        without - without[:1]
    ).abs().max() < 1e-4 * logits.abs().max()  # the bias, the same of every image
    assert maps.std(dim=(2, 3)).min() > 0


@pytest.mark.parametrize("name", AVERAGING)
def test_maps_of_networks_that_average_add_up_to_their_logits(name: str) -> None:
    assert_maps_add_up(network_of(name), images())


@pytest.mark.slow
@pytest.mark.parametrize("name", AVERAGING_SLOW)
def test_maps_of_all_families_that_average_add_up_to_their_logits(name: str) -> None:
    assert_maps_add_up(network_of(name, 160), images(160))


@pytest.mark.slow
def test_a_pooled_head_makes_maps_of_networks_whose_own_head_does_not() -> None:
    inputs = images(128)
    assert_maps_add_up(network_of("alexnet", 128, pooled=True), inputs)
    assert find_map_place(network_of("alexnet", 128), inputs) is None


@pytest.mark.parametrize("name", ["small-cnn", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_gradients_come_to_the_same_maps_where_the_head_averages(name: str) -> None:
    network, inputs = network_of(name, 128), images(128)
    exact, gradient = find_map_place(network, inputs), find_gradient_place(network, inputs)
    assert exact is not None
    assert gradient is not None
    assert exact.layer == gradient.layer
    logits, maps = maps_of(network, exact, inputs)
    again, by_gradient = gradient_maps(network, gradient, inputs)
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(by_gradient, maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("mobilenet_v3_small", "features"), pytest.param("alexnet", "avgpool", marks=pytest.mark.slow)],
)
def test_other_heads_get_their_maps_by_gradients_at_the_last_layer_with_places(name: str, layer: str) -> None:
    network, inputs = network_of(name, 128), images(128)
    place = find_place(network, inputs)
    assert isinstance(place, GradientPlace)
    assert (place.layer, method_of(place)) == (layer, "gradient-weighted activations")
    maps = maps_of(network, place, inputs)[1]
    assert maps.shape == (2, 3, place.side, place.side)
    assert maps.std(dim=(2, 3)).min() > 0


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "googlenet", "swin_t")),
    ],
)
def test_maps_add_up_in_the_onnx_copy_too(name: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    bare = card_of().model_copy(update={"arch": name, "recipe": Recipe(size_px=SIDE_PX, channels=1)})
    pixels = np.random.default_rng(0).integers(0, 255, (3, SIDE_PX, SIDE_PX, 1)).astype(np.uint8)
    card = with_copy(run, bare, network_of(name), pixels, SilentProgress())
    seen = OnnxNetwork(run.onnx_path, card)(pixels, maps=True)
    assert seen.maps is not None
    without = seen.logits - seen.maps.mean(axis=(2, 3))
    assert np.ptp(without, axis=0).max() < 1e-4 * np.abs(seen.logits).max()


class _Tokens(nn.Module):
    """Patches as tokens with a class token before them; only that token is read in the end, as in a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 6, 8, 8)
        self.block = nn.Identity()
        self.mix = nn.Linear(6, 6)
        self.last = nn.Identity()
        self.head = nn.Linear(6, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        tokens = self.block(torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1))
        read = tokens[:, :1] + self.mix(tokens).relu().mean(dim=1, keepdim=True)
        tokens = self.last(torch.cat([read, tokens[:, 1:]], dim=1))
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def test_of_tokens_the_layer_is_taken_whose_places_are_still_read() -> None:
    torch.manual_seed(0)
    network = _Tokens().eval()
    place = find_gradient_place(network, images(32))
    assert place == GradientPlace("block", "tokens", 4)


def test_a_layer_that_a_shortcut_passes_by_is_not_taken() -> None:
    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            made = self.stem(inputs)
            logits: Tensor = self.head((made + self.branch(made)).mean(dim=(2, 3)).sigmoid())
            return logits

    torch.manual_seed(0)
    place = find_gradient_place(Branched().eval(), images(8))
    assert place is not None
    assert place.layer == "stem"


def test_looking_for_maps_leaves_the_network_as_it_was() -> None:
    network, inputs = network_of("mobilenet_v3_small", 128), images(128)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    place = find_place(network, inputs)
    assert place is not None
    maps_of(network, place, inputs)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_names())
def test_every_torchvision_classifier_has_maps(name: str) -> None:
    network, inputs = network_of(name, 224, pooled=pools_its_head(name)), images(224)
    place = find_place(network, inputs)
    assert place is not None
    assert place.side >= 4
    assert torch.isfinite(maps_of(network, place, inputs)[1]).all()
