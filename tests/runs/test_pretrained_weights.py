"""Weights at hand, told by the names of their files."""

from pathlib import Path

import pytest

from medimg_cli.runs.weights_origin import architecture_of, checkpoints_folder, weights_at_hand


def test_the_longest_name_counts_and_only_as_a_word() -> None:
    known = ["vgg16", "vgg16_bn", "resnet18", "resnet1"]
    assert architecture_of("vgg16_bn-6c64b313.pth", known) == "vgg16_bn"
    assert architecture_of("vgg16_features.pth", known) == "vgg16"
    assert architecture_of("resnet101-5d3b4d8f.pth", known) is None


def test_the_preferred_file_of_a_folder_is_taken(tmp_path: Path) -> None:
    assert weights_at_hand(tmp_path / "missing") is None
    for name in ("resnet18-f37072fd.pth", "mobilenet_v2.txt", "vgg16-397923af.pth"):
        (tmp_path / name).touch()
    assert weights_at_hand(tmp_path) == tmp_path / "resnet18-f37072fd.pth"


def test_the_folder_is_the_one_torch_hub_uses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert checkpoints_folder() == tmp_path / "hub" / "checkpoints"
