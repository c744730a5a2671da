"""small-cnn: what its docstring says of its size is what its layers come to."""

import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medimg_cli.training.architectures.small_cnn import ImageStandardise, SmallCNN, SqueezeExcite
from medimg_cli.training.networks.networks import parameter_count

SIZES = (28, 64, 128, 224)


def stated() -> dict[int, list[str]]:
    """Return the rows of the docstring's table by image size."""
    rows = re.findall(r"^\s*\|(\s*\d.*)\|$", SmallCNN.__doc__ or "", flags=re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return {int(first): rest for first, *rest in cells}


def path_of_convolutions(network: SmallCNN, images: torch.Tensor) -> list[nn.Conv2d]:
    """Return the convolutions of the longest path, in the order in which images pass them."""
    passed: list[nn.Conv2d] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and "shortcut" not in name:
            module.register_forward_hook(lambda layer, _given, _left: passed.append(layer))
    network(images)
    return passed


def receptive_field_px(layers: list[nn.Conv2d]) -> int:
    """Araujo et al. 2019, Distill, doi:10.23915/distill.00021: each layer adds (kernel - 1) steps of those before."""
    field, step = 1, 1
    for layer in layers:
        field += (layer.kernel_size[0] - 1) * step
        step *= layer.stride[0]
    return field


@pytest.mark.parametrize("size_px", SIZES)
def test_the_docstring_states_what_the_layers_come_to(size_px: int) -> None:
    network, images = SmallCNN(2, 1, size_px).eval(), torch.zeros(1, 1, size_px, size_px)
    with torch.inference_mode():
        side = network.features(images).shape[-1]
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        layers = path_of_convolutions(network, images)
    assert stated()[size_px] == [
        str(len(network.blocks)),
        f"{parameter_count(network):,}",
        f"{counter.get_total_flops() / 2 / 1e6:.1f}",
        str(receptive_field_px(layers)),
        f"{side}×{side}",
    ]


def test_the_receptive_field_is_where_a_place_of_the_last_map_looks() -> None:
    torch.manual_seed(0)
    network = SmallCNN(2, 1, 64).double().eval()
    for name, module in list(network.named_modules()):
        if isinstance(module, SqueezeExcite | ImageStandardise):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, nn.Identity())
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Conv2d):
            module.weight.data.abs_()  # no path may cancel another
    images = torch.ones(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    found = network.features(images)
    found[0, :, 8, 8].sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    rows = images.grad[0, 0].abs().sum(dim=1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == int(stated()[64][3])
