"""timm's networks: its own file formats and folders, other image sizes, copies, heat maps, and the licence of weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medimg_cli.errors import RunError, UsageError
from medimg_cli.runs.weights_origin import WeightsOrigin, origin_of
from medimg_cli.training.explanation.class_maps import find_place
from medimg_cli.training.fitting.optimiser import rate_groups
from medimg_cli.training.networks.arch_listing import list_timm
from medimg_cli.training.networks.backbone import Backbone
from medimg_cli.training.networks.networks import (
    architecture,
    architecture_of,
    build_network,
    check_size,
    images_wanted,
    load_pretrained,
    pretrained_normalisation,
)
from medimg_cli.training.networks.timm_networks import timm
from medimg_cli.workspace.settings import TrainSettings

pytest.importorskip("huggingface_hub", reason="timm is not installed")
VIT, RESNET = "timm/test_vit", "timm/test_resnet"


def folder_of(place: Path, name: str, *, licence: str = "", size_px: int = 160) -> Path:
    """Write weights as timm's `save_for_hf` does: config.json and model.safetensors, here with random numbers."""
    torch.manual_seed(3)
    place.mkdir()
    options = {"img_size": size_px} if "vit" in name else {}
    network = timm().create_model(name.removeprefix("timm/"), num_classes=7, **options)
    save_file(network.state_dict(), place / "model.safetensors")
    config = {
        "architecture": name.removeprefix("timm/"),
        "num_classes": 7,
        "pretrained_cfg": {
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.2, 0.2],
            "input_size": [3, size_px, size_px],
            "interpolation": "bicubic",
        },
    }
    (place / "config.json").write_text(json.dumps(config))
    if licence:
        (place / "README.md").write_text(f"---\ntags:\n- image\nlicense: {licence}\n---\n# A model\n")
    return place


@pytest.mark.parametrize("name", [VIT, RESNET, "timm/test_convnext"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_parts_of_a_network_answer_as_the_whole(name: str, channels: int) -> None:
    network = build_network(name, classes=3, channels=channels, size_px=64).eval()
    images = torch.rand(2, channels, 64, 64)
    backbone = Backbone(network)
    features = backbone(images)
    with torch.inference_mode():
        assert torch.allclose(backbone.head(features), network(images), atol=1e-6)
    assert features.ndim == 2
    assert find_place(network, images) is not None
    groups = rate_groups(network, 0.5)
    assert {id(weight) for weight in groups[0].parameters} == {
        id(weight) for weight in backbone.head.parameters()
    }


def test_weights_of_a_folder_bring_their_size_interpolation_mean_and_name(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "hub", VIT, size_px=96)
    chosen = TrainSettings(arch=VIT, weights=str(place))
    assert images_wanted(chosen).size_px == 96
    assert images_wanted(chosen).interpolation == "bicubic, antialiased"
    assert pretrained_normalisation(3, VIT, str(place)).mean == (0.4, 0.5, 0.6)
    assert pretrained_normalisation(1, VIT, str(place)).mean == pytest.approx((0.5,))
    assert architecture_of(place) == VIT
    assert architecture(VIT).preferred_size_px == 160


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", "folder"])
def test_a_transformer_takes_its_weights_at_another_size(tmp_path: Path, suffix: str) -> None:
    place = folder_of(tmp_path / "hub", VIT)
    whole = timm().create_model("test_vit", num_classes=7)
    path = place
    if suffix != "folder":
        from safetensors.torch import load_file

        state = load_file(place / "model.safetensors")
        path = tmp_path / f"weights{suffix}"
        if suffix == ".pth":
            torch.save({"state_dict": state}, path)
        else:
            save_file(state, path)
    network = build_network(VIT, classes=2, channels=3, size_px=96)
    fresh = load_pretrained(network, VIT, str(path))
    assert fresh == ["head.bias", "head.weight"]
    assert network.state_dict()["pos_embed"].shape != whole.state_dict()["pos_embed"].shape


def test_a_size_that_does_not_fit_the_patches_is_refused() -> None:
    check_size(VIT, 96)
    with pytest.raises(UsageError, match="cannot take images of 90 px"):
        check_size(VIT, 90)


def test_a_name_that_timm_lacks_gets_the_closest_and_two_heads_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        architecture("timm/resnet81")
    assert "timm/resnet" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no single linear layer"):
        build_network("timm/deit_tiny_distilled_patch16_224", classes=2, channels=3, size_px=224)


def test_networks_of_a_pattern_are_listed() -> None:
    found = list_timm("test_vit*")
    assert VIT in {facts.name for facts in found}
    assert all(facts.parameters > 1000 for facts in found)
    with pytest.raises(UsageError, match="matches 'nothing-\\*'"):
        list_timm("nothing-*")


def test_a_folder_without_weights_or_with_a_damaged_config_is_told(tmp_path: Path) -> None:
    network = build_network(RESNET, classes=2, channels=3, size_px=64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds 0 files of weights"):
        load_pretrained(network, RESNET, str(tmp_path / "empty"))
    place = folder_of(tmp_path / "hub", RESNET)
    (place / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json cannot be read"):
        images_wanted(TrainSettings(arch=RESNET, weights=str(place)))


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [
        ("apache-2.0", ""),
        ("cc-by-nc-4.0", "no commercial use"),
        ("CC BY-NC-ND 4.0", "no commercial use and no passing on"),
        ("cc-by-nd-4.0", "no passing on"),
        ("Some Research-Only License", "no commercial use"),
        ("openrail", ""),
        ("cc_by_nc_sa", "no commercial use"),
        ("BSD-3-Clause", ""),
    ],
)
def test_what_a_licence_forbids_is_told_by_its_name(licence: str, forbids: str) -> None:
    said = WeightsOrigin(source="x", licence=licence).restriction
    assert (forbids in said) if forbids else said == ""


def test_the_licence_is_the_given_one_else_that_of_the_card_else_that_of_the_config(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "hub", RESNET, licence="cc-by-nc-4.0")
    file = place / "model.safetensors"
    assert origin_of(str(place), file, "mit").licence == "mit"
    assert origin_of(str(place), file, None, "bsd").said_by == "README.md"
    (place / "README.md").write_text("# no front matter\nlicense: mit\n")
    assert origin_of(str(place), file, None, "bsd").licence == "bsd"
    assert origin_of(str(place), file, None).in_words.endswith("licence not stated")
