"""Where in an image the evidence for a class lies, for networks whose arithmetic holds no map of it.

Activations of the last layer that still keeps places, each times the gradient of the class's logit at its place
(HiResCAM: Draelos, Carin 2020, arXiv:2011.08891). Where the head averages over the places it is the class activation
map, and Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391); where it does not, as in VGG's own head or a transformer,
averaging the gradient first would move evidence to places that the head did not look at.

The layer is found, not listed: of the modules whose output has places, the last that everything goes through (no branch,
and nothing that a shortcut passes by) and at whose places a gradient arrives. In a vision transformer that is the block
before the last: of what the last one returns, the class token is all that is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from medimg_cli.training.explanation.class_maps import recorded

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
