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

from medimg_cli.runs.explanation import Method
from medimg_cli.training.networks.backbone import Tapped

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
        last_layer: path of the last layer, "" where the maps are the classes' already.
    """

    layer: str
    weighing: Weighing
    side: int
    last_layer: str = ""


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
    layer = network.get_submodule(place.last_layer)
    assert isinstance(layer, nn.Linear)
    return F.conv2d(F.relu(made) if place.weighing == "rectified" else made, layer.weight[:, :, None, None])


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
    last_layer = _last_layer(network, outputs, logits)
    for path, made in reversed(outputs):
        if made.ndim != 4 or made.shape[2] != made.shape[3] or made.shape[2] < LEAST_SIDE:
            continue
        place = _adds_up(network, path, made, logits, last_layer)
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


def _adds_up(network: nn.Module, path: str, made: Tensor, logits: Tensor, last_layer: str) -> MapPlace | None:
    side = int(made.shape[2])
    if made.shape[1] == logits.shape[1] and _alike(made.mean(dim=(2, 3)), logits):
        return MapPlace(path, "as they are", side)
    layer = network.get_submodule(last_layer) if last_layer else None
    if not isinstance(layer, nn.Linear) or made.shape[1] != layer.in_features:
        return None
    beyond_bias = logits if layer.bias is None else logits - layer.bias
    places = (MapPlace(path, "weighed", side, last_layer), MapPlace(path, "rectified", side, last_layer))
    return next(
        (each for each in places if _alike(class_maps(network, each, made).mean(dim=(2, 3)), beyond_bias)),
        None,
    )


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Return whether two (N, C) agree; what is 0 everywhere agrees with nothing: a head of zeros tells no place."""
    scale = float(expected.abs().max())
    return scale > 0 and bool((found - expected).abs().max() <= _TOLERANCE * scale)


WANTED_SIDE = 4
"""Places a side; a coarser layer is taken only where no other is left."""
_LEAST_SIDE = 2
_REACHED = 0.1  # share of the places that a gradient must arrive at: behind a ReLU it stops where that is 0

Layout = Literal["channels first", "channels last", "tokens"]


@dataclass(frozen=True)
class GradientPlace:
    """A layer that keeps places.

    Args:
        layer: path of the module.
        layout: how its output holds them: (N, K, h, w), (N, h, w, K), or (N, h*w, K) after any class token.
        side: places a side.
    """

    layer: str
    layout: Layout
    side: int


def find_gradient_place(network: nn.Module, inputs: Tensor) -> GradientPlace | None:
    """Return the layer to take the gradient at; None where no layer keeps 2×2 places that the answer rests on.

    Args:
        network: in evaluation mode.
        inputs: (N, C, H, W) normalised images; one is enough.
    """
    shown = inputs[:1]
    with recorded(network) as outputs, torch.no_grad():
        network(shown)
    found = [(path, _layout_of(made)) for path, made in reversed(outputs)]
    for least in (WANTED_SIDE, _LEAST_SIDE):
        for path, (layout, side) in found:
            if layout is None or side < least:
                continue
            place = GradientPlace(path, layout, side)
            if _decides(network, place, shown):
                return place
    return None


def gradient_maps(network: nn.Module, place: GradientPlace, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (N, C) and maps (N, C, h, w) of normalised images (N, C, H, W).

    Maps are in the unit of class activation maps: where the layers behind `place` are linear in it, the mean over the
    places is the class's logit but for what does not depend on the image.
    """
    logits, kept, gradients = _gradients(network, place, inputs)
    maps = [_as_map(kept * gradient, place) for gradient in gradients]
    return logits.detach(), torch.stack(maps, dim=1) * place.side**2


def _decides(network: nn.Module, place: GradientPlace, inputs: Tensor) -> bool:
    """Return whether the answer rests on the layer alone, and on most of its places."""
    watched = inputs.detach().clone().requires_grad_()
    with _leaf_at(network, place) as kept, _weights_at_rest(network), torch.enable_grad():
        logits = network(watched)
        if not logits.requires_grad:
            return False
        # Weighed unevenly: of logits that cancel each other out, the plain sum would have no gradient.
        answer = (logits * torch.arange(1, logits.shape[1] + 1, device=logits.device)).sum()
        within, past = torch.autograd.grad(answer, [kept[0], watched], allow_unused=True)
    if within is None or past is not None:
        return False
    return float((_as_map(within.abs(), place) > 0).float().mean()) >= _REACHED


def _gradients(
    network: nn.Module, place: GradientPlace, inputs: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return logits (N, C), what the layer made, and the gradient of each class's logit there, in its shape."""
    with _leaf_at(network, place) as kept, _weights_at_rest(network), torch.enable_grad():
        logits = network(inputs)
        gradients = [
            torch.autograd.grad(one.sum(), kept[0], retain_graph=True)[0] for one in logits.unbind(dim=1)
        ]
    return logits, kept[0].detach(), gradients


@contextmanager
def _leaf_at(network: nn.Module, place: GradientPlace) -> Iterator[list[Tensor]]:
    """Yield a list for what the layer makes, cut off from what came before it."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _given: object, made: Tensor) -> Tensor:
        kept.append(made.detach().clone().requires_grad_())
        return kept[-1].clone()  # what comes next may work in place

    hook = network.get_submodule(place.layer).register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


@contextmanager
def _weights_at_rest(network: nn.Module) -> Iterator[None]:
    """Ask for no gradient of the weights meanwhile: all before the layer is then computed without a graph."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _layout_of(made: Tensor) -> tuple[Layout | None, int]:
    """Return how an output holds places, and how many a side; images are squares, and so are their maps."""
    if made.ndim == 4 and made.shape[2] == made.shape[3]:
        return "channels first", int(made.shape[2])
    if made.ndim == 4 and made.shape[1] == made.shape[2]:
        return "channels last", int(made.shape[1])
    if made.ndim == 3:
        side = int(made.shape[1] ** 0.5)
        if made.shape[1] - side**2 in (0, 1):
            return "tokens", side
    return None, 0


def _as_map(values: Tensor, place: GradientPlace) -> Tensor:
    """Return the sum over the channels, (N, h, w)."""
    if place.layout == "channels first":
        return values.sum(dim=1)
    if place.layout == "channels last":
        return values.sum(dim=3)
    patches = values[:, -(place.side**2) :].sum(dim=2)
    return patches.reshape(-1, place.side, place.side)


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
