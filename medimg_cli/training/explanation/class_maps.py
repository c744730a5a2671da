"""Where in an image the evidence for a class lies: maps that a network's own arithmetic already holds.

A network that averages a map A_k over its places and weighs the averages in one layer has, of class c, the map
sum over k of w_ck A_k: its mean over the places is the class's logit but for its bias (class activation map: Zhou et al.
2016, arXiv:1512.04150; for such networks Grad-CAM is the same, Selvaraju et al. 2017, arXiv:1610.02391, appendix A).
No list of architectures says which networks those are: what every module makes is looked at, and only what adds up
counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medimg_cli.training.networks.feature_hooks import Tapped

LEAST_SIDE = 3
"""A map of fewer places a side says nothing of where."""
_TOLERANCE = 1e-3

Weighing = Literal["weighed", "rectified", "as they are"]


@dataclass(frozen=True)
class MapPlace:
    """Where a network makes the map that its head averages.

    Args:
        layer: path of the module that makes it.
        weighing: weighed: by the last layer's weights; rectified: its negative parts are cut off first; as they are:
            one map a class already.
        side: places a side.
        judge: path of the last layer, "" where the maps are the classes' already.
    """

    layer: str
    weighing: Weighing
    side: int
    judge: str = ""


class Mapped(nn.Module):
    """A network that also returns its features and the map of each class.

    Args:
        network: a classifier in evaluation mode; it is shared, not copied.
        place: as `find_map_place` found it.
    """

    def __init__(self, network: nn.Module, place: MapPlace) -> None:
        super().__init__()
        self.tapped = Tapped(network)
        self.place = place

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, C), features (N, D) and maps (N, C, h, w) of normalised images (N, C, H, W)."""
        network = self.tapped.network
        made: list[Tensor] = []
        hook = network.get_submodule(self.place.layer).register_forward_hook(
            lambda _, __, output: made.append(output)
        )
        try:
            logits, features = self.tapped(inputs)
        finally:
            hook.remove()
        return logits, features, class_maps(network, self.place, made[-1])


def class_maps(network: nn.Module, place: MapPlace, made: Tensor) -> Tensor:
    """Return the maps (N, C, h, w) of what the module at `place` made, (N, K, h, w)."""
    if place.weighing == "as they are":
        return made
    judge = network.get_submodule(place.judge)
    assert isinstance(judge, nn.Linear)
    return F.conv2d(F.relu(made) if place.weighing == "rectified" else made, judge.weight[:, :, None, None])


def find_map_place(network: nn.Module, inputs: Tensor) -> MapPlace | None:
    """Return where the network makes the map that its head averages; None where its answer is no such average.

    Args:
        network: in evaluation mode.
        inputs: (N, C, H, W) normalised images, one is enough; what is found must hold for all of them.
    """
    with torch.no_grad():
        return _found(network, inputs)


def _found(network: nn.Module, inputs: Tensor) -> MapPlace | None:
    with recorded(network) as outputs:
        logits = network(inputs)
    judge = _last_layer(network, outputs, logits)
    for path, made in reversed(outputs):
        if made.ndim != 4 or made.shape[2] != made.shape[3] or made.shape[2] < LEAST_SIDE:
            continue
        place = _adds_up(network, path, made, logits, judge)
        if place is not None:
            return place
    return None


@contextmanager
def recorded(network: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """Yield a list that fills with (path, output) of every module as it ends, of those that return one tensor."""
    outputs: list[tuple[str, Tensor]] = []

    def remember(path: str) -> object:
        return lambda _module, _given, made: (
            outputs.append((path, made)) if isinstance(made, Tensor) else None
        )

    hooks = [module.register_forward_hook(remember(path)) for path, module in network.named_modules() if path]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _last_layer(network: nn.Module, outputs: list[tuple[str, Tensor]], logits: Tensor) -> str:
    """Return the path of the linear layer that made the logits, "" where another module did."""
    for path, made in reversed(outputs):
        if isinstance(network.get_submodule(path), nn.Linear) and made.shape == logits.shape:
            return path if torch.equal(made, logits) else ""
    return ""


def _adds_up(network: nn.Module, path: str, made: Tensor, logits: Tensor, judge: str) -> MapPlace | None:
    side = int(made.shape[2])
    if made.shape[1] == logits.shape[1] and _alike(made.mean(dim=(2, 3)), logits):
        return MapPlace(path, "as they are", side)
    layer = network.get_submodule(judge) if judge else None
    if not isinstance(layer, nn.Linear) or made.shape[1] != layer.in_features:
        return None
    beyond_bias = logits if layer.bias is None else logits - layer.bias
    places = (MapPlace(path, "weighed", side, judge), MapPlace(path, "rectified", side, judge))
    return next(
        (each for each in places if _alike(class_maps(network, each, made).mean(dim=(2, 3)), beyond_bias)),
        None,
    )


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Return whether two (N, C) agree; what is 0 everywhere agrees with nothing: a head of zeros tells no place."""
    scale = float(expected.abs().max())
    return scale > 0 and bool((found - expected).abs().max() <= _TOLERANCE * scale)
