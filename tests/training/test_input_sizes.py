"""Image sizes: what a network cannot take is refused before anything is decoded, with sizes that it takes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from medimg_cli.errors import UsageError
from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.networks.networks import build_network, check_size, takes, torchvision_names
from tests.conftest import draw_cohort, medimg

SIZES_PX = (32, 48, 64, 96, 100, 224)


@pytest.mark.parametrize(
    ("name", "size_px", "hint"),
    [
        ("vit_b_16", 100, "--set preprocess.size=96 or 112"),
        pytest.param("vit_b_32", 48, "--set preprocess.size=32 or 64", marks=pytest.mark.slow),
        pytest.param("inception_v3", 64, "--set preprocess.size=75", marks=pytest.mark.slow),
        ("alexnet", 48, "--set preprocess.size=63"),
    ],
)
def test_a_size_that_fits_no_layer_is_refused_with_the_nearest_that_do(
    name: str, size_px: int, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_size(name, size_px)
    assert caught.value.what == f"{name} cannot take images of {size_px} px"
    assert caught.value.hint == hint


def test_a_maxvit_is_built_for_its_size() -> None:
    assert takes("maxvit_t", 448)
    assert not takes("maxvit_t", 96)


def test_a_regnet_is_asked_although_its_widths_need_numbers() -> None:
    assert takes("regnet_x_400mf", 64)


@pytest.mark.parametrize(
    ("name", "size_px"), [("vgg11", 32), ("small-cnn", 100), ("alexnet", 64), ("alexnet", 60)]
)
def test_the_answer_is_that_of_a_real_forward_pass(name: str, size_px: int) -> None:
    network = build_network(name, classes=2, channels=1, size_px=size_px)
    assert takes(name, size_px, 1) == _works(network, size_px)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ARCHITECTURES.names(), *torchvision_names()])
def test_every_classifier_takes_a_size_or_names_one(name: str) -> None:
    for size_px in SIZES_PX:
        if not takes(name, size_px):
            with pytest.raises(UsageError) as caught:
                check_size(name, size_px)
            proposed = [int(word) for word in caught.value.hint.partition("=")[2].split(" or ")]
            assert proposed
            assert all(takes(name, size) for size in proposed)


def test_the_command_refuses_before_it_decodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=12)
    assert medimg(tmp_path, "ingest", str(raw), "--positive", "SPOT") == 0
    capsys.readouterr()
    assert medimg(tmp_path, "train", "--arch", "vit_b_16", "--set", "preprocess.size=100") == 2
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: vit_b_16 cannot take images of 100 px"
    assert hint == "hint: --set preprocess.size=96 or 112"
    assert list(tmp_path.glob("cache/*")) == []


def _works(network: nn.Module, size_px: int) -> bool:
    try:
        with torch.no_grad():
            network(torch.zeros(2, 1, size_px, size_px))
    except RuntimeError:
        return False
    return True
