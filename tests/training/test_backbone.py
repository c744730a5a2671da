"""A network in two parts: together they answer as the whole does, and only the head learns."""

import pytest
import torch
from torch import nn

from medimg_cli.training.networks.backbone import Backbone, pools_its_head
from medimg_cli.training.networks.networks import build_network, parameter_count, torchvision_names

SIDE_PX = 64


def network_of(name: str, *, classes: int = 3, size_px: int = SIDE_PX) -> nn.Module:
    head = "pooled" if pools_its_head(name) else "own"
    return build_network(name, classes=classes, channels=1, size_px=size_px, head=head)  # type: ignore[arg-type]


def assert_parts_answer_as_the_whole(name: str, size_px: int) -> torch.Tensor:
    network = network_of(name, size_px=size_px).eval()
    images = torch.rand(2, 1, size_px, size_px)
    backbone = Backbone(network)
    features = backbone(images)
    with torch.inference_mode():
        assert torch.equal(backbone.head.eval()(features).flatten(1), network(images))
    return features


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("small-cnn", 256),
        ("mobilenet_v2", 1280),
        ("mobilenet_v3_small", 576),
        ("resnet18", 512),
        ("squeezenet1_1", 512),
        ("shufflenet_v2_x0_5", 1024),
        ("vgg11", 512),
        ("alexnet", 256),
    ],
)
def test_the_parts_answer_as_the_whole(name: str, width: int) -> None:
    assert assert_parts_answer_as_the_whole(name, SIDE_PX).shape == (2, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_names())
def test_the_parts_of_every_torchvision_classifier_answer_as_the_whole(name: str) -> None:
    features = assert_parts_answer_as_the_whole(name, 224)
    assert features[0].numel() == features.shape[1] <= 7392


def test_features_are_of_a_network_in_use_and_leave_it_as_it_was() -> None:
    network = network_of("mobilenet_v2").train()
    backbone = Backbone(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(4, 1, SIDE_PX, SIDE_PX)
    assert torch.equal(backbone(images), backbone(images))
    assert torch.allclose(backbone(images)[:1], backbone(images[:1]), atol=1e-5)
    after = network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_what_the_head_learns_the_network_has_learnt() -> None:
    network = network_of("squeezenet1_1").eval()
    head = Backbone(network).head
    learnt = {key: torch.full_like(value, 0.25) for key, value in head.state_dict().items()}
    head.load_state_dict(learnt)
    assert float(network.get_submodule("classifier.3").get_parameter("bias").detach().mean()) == 0.25


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_0", "vgg11"])
def test_a_pooled_head_is_one_small_layer(name: str) -> None:
    network = network_of(name)
    width = 256 if name == "alexnet" else 512
    assert parameter_count(Backbone(network).head) == width * 3 + 3


def test_weights_that_the_features_rest_on_are_told_from_those_of_the_head() -> None:
    backbone = Backbone(network_of("mobilenet_v2"))
    fresh = ["classifier.1.bias", "features.0.0.weight", "features.0.1.num_batches_tracked"]
    assert backbone.lacks(fresh) == ["features.0.0.weight"]
