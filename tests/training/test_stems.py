"""First layers for small images: which networks get them, and that nothing else changes."""

import pytest
import torch
from torch import nn

from medimg_cli.errors import UsageError
from medimg_cli.runs.run import StemKind
from medimg_cli.training.networks.networks import build_network
from medimg_cli.training.networks.stems import check_stem
from medimg_cli.training.networks.torchvision_door import torchvision
from medimg_cli.workspace.settings import TrainSettings

STEMS: tuple[StemKind, StemKind] = ("own", "small")


def map_sides(name: str, stem: StemKind, size_px: int = 32) -> tuple[int, int]:
    """Return the sides of the maps that the first and the last convolution leave."""
    network = build_network(name, classes=3, channels=1, size_px=size_px, stem=stem).eval()
    sides: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _given, left: sides.append(left.shape[-1]))
    with torch.inference_mode():
        assert network(torch.rand(2, 1, size_px, size_px)).shape == (2, 3)
    return sides[0], sides[-1]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", 4),
        ("densenet121", 4),
        ("shufflenet_v2_x0_5", 4),
        ("mobilenet_v2", 2),
        ("mobilenet_v3_small", 2),
        ("mnasnet0_5", 2),
    ],
)
def test_a_small_stem_keeps_every_place_of_the_image(name: str, last: int) -> None:
    assert (map_sides(name, "own"), map_sides(name, "small")) == ((16, 1), (32, last))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "last"),
    [("resnext50_32x4d", 4), ("wide_resnet50_2", 4), ("efficientnet_b0", 2), ("regnet_y_400mf", 2)],
)
def test_larger_families_keep_it_too(name: str, last: int) -> None:
    assert (map_sides(name, "own"), map_sides(name, "small")) == ((16, 1), (32, last))


def test_only_the_first_convolution_has_another_shape() -> None:
    own, small = (
        build_network("resnet18", classes=2, channels=1, size_px=28, stem=stem).state_dict() for stem in STEMS
    )
    assert own.keys() == small.keys()
    assert [key for key in own if own[key].shape != small[key].shape] == ["conv1.weight"]
    assert small["conv1.weight"].shape == (64, 1, 3, 3)


def test_the_published_network_is_what_is_built_unless_told_otherwise() -> None:
    assert TrainSettings().stem == "own"
    torch.manual_seed(0)
    plain = torchvision.models.resnet18(num_classes=2).state_dict()
    torch.manual_seed(0)
    built = build_network("resnet18", classes=2, channels=3, size_px=28).state_dict()
    assert all(torch.equal(built[key], plain[key]) for key in plain)


def test_a_network_without_a_rule_is_refused() -> None:
    for arch in ("vgg16", "small-cnn", "vit_b_16", "googlenet"):
        with pytest.raises(UsageError, match=f"first layers of '{arch}'"):
            check_stem(TrainSettings(arch=arch, stem="small"))
    check_stem(TrainSettings(arch="resnet18", stem="small"))
    check_stem(TrainSettings(arch="vgg16"))
