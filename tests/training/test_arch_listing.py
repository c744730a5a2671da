"""The list of networks: ours first, facts that can be checked, an estimate that is a number."""

import pytest

from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.networks import arch_listing
from medimg_cli.training.networks.arch_listing import ArchitectureFacts, list_architectures
from medimg_cli.training.networks.networks import build_network, parameter_count


@pytest.fixture(scope="module")
def found() -> dict[str, ArchitectureFacts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arch_listing, "_STEP_IMAGES", 1)  # the figure is not what is tested
        return {facts.name: facts for facts in list_architectures()}


def test_ours_come_first_and_torchvisions_are_all_there(found: dict[str, ArchitectureFacts]) -> None:
    assert tuple(found)[: len(ARCHITECTURES.names())] == ARCHITECTURES.names()
    assert {"resnet18", "vgg16", "mobilenet_v2", "efficientnet_b0"} < set(found)


def test_sizes_are_those_of_the_networks(found: dict[str, ArchitectureFacts]) -> None:
    assert found["resnet18"].parameters == parameter_count(
        build_network("resnet18", classes=1000, channels=3, size_px=224)
    )
    assert found["resnet18"].gmacs == pytest.approx(1.81, abs=0.01)
    assert found["small-cnn"].gmacs == pytest.approx(0.068, abs=0.01)
    assert (found["small-cnn"].size_px, found["small-cnn"].imagenet) == (128, False)


def test_a_bigger_network_is_estimated_to_take_longer(found: dict[str, ArchitectureFacts]) -> None:
    seconds = [found[name].seconds_per_1000 for name in ("small-cnn", "resnet18", "vgg16")]
    assert all(value is not None and value > 0 for value in seconds)
    assert seconds == sorted(seconds, key=lambda value: value or 0)
