"""Which network a file of weights belongs to."""

from pathlib import Path

import pytest
import torch

from medimg_cli.errors import RunError
from medimg_cli.training.networks import networks
from medimg_cli.training.networks.networks import architecture_of, build_network


@pytest.fixture(autouse=True)
def few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["alexnet", "regnet_x_400mf", "squeezenet1_0", "squeezenet1_1"]
    monkeypatch.setattr(networks, "torchvision_names", lambda: names)


@pytest.mark.parametrize("name", ["small-cnn", "squeezenet1_0", "squeezenet1_1"])
@pytest.mark.parametrize("part", ["", "features"])
def test_a_file_tells_its_network_even_without_head(tmp_path: Path, name: str, part: str) -> None:
    if name == "small-cnn":
        part = "blocks" if part else ""
    state = build_network(name, classes=7, channels=3, size_px=128).state_dict()
    file = tmp_path / "some.pth"
    torch.save({key: value for key, value in state.items() if key.startswith(part)}, file)
    assert architecture_of(file) == name


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(3), "features.0.weight": torch.zeros(3)}, file)
    with pytest.raises(RunError, match="fits no network") as caught:
        architecture_of(file)
    assert caught.value.hint == "name its --arch"
