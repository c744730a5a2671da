"""The class maps of one network, by whichever way its layers allow."""

import torch
from torch import Tensor, nn

from medimg_cli.runs.explanation import Method
from medimg_cli.training.explanation.class_maps import Mapped, MapPlace, find_map_place
from medimg_cli.training.explanation.gradient_maps import GradientPlace, find_gradient_place, gradient_maps

Place = MapPlace | GradientPlace


def find_place(network: nn.Module, inputs: Tensor) -> Place | None:
    """Return where a network's maps come from: exactly where they can, else by gradients; None where from nowhere.

    Args:
        network: in evaluation mode.
        inputs: (N, C, H, W) normalised images.
    """
    return find_map_place(network, inputs) or find_gradient_place(network, inputs)


def maps_of(network: nn.Module, place: Place, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (N, C) and maps (N, C, h, w) of normalised images (N, C, H, W)."""
    if isinstance(place, GradientPlace):
        return gradient_maps(network, place, inputs)
    with torch.no_grad():
        logits, _, maps = Mapped(network, place)(inputs)
    return logits, maps


def method_of(place: Place) -> Method:
    return "class activation map" if isinstance(place, MapPlace) else "gradient-weighted activations"
