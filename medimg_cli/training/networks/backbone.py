"""A classifier seen as two parts: the backbone, which turns images into features, and the head that judges them."""

import hashlib

import torch
from torch import Tensor, nn

# What torchvision and our own networks call the last part, in the order in which one is looked for.
HEADS = ("classifier", "fc", "head", "heads")
# Their own heads judge every place of a map, or hold most of the network's weights.
_MAP_HEADS = ("alexnet", "squeezenet", "vgg")
_DROPOUT = 0.2
_INITIAL_DEVIATION = 0.01


def pools_its_head(name: str) -> bool:
    """Return whether the network called `name` needs the head of `pool_head` for its backbone to be frozen."""
    return name.startswith(_MAP_HEADS)


def pool_head(network: nn.Module, classes: int) -> None:
    """Give AlexNet, SqueezeNet or VGG the head of later networks: average over the map, dropout, one layer.

    AlexNet's and VGG's own heads hold up to 124 million weights; SqueezeNet's takes a map of 512 channels.

    Args:
        network: as torchvision builds it; its `classifier` is replaced, and the backbone stays.
    """
    layers = list(network.get_submodule("classifier").children())
    own = next(layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d))
    pooling: list[nn.Module] = []
    if isinstance(own, nn.Conv2d):
        width = own.in_channels
        pooling = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    else:
        cells = network.get_submodule("avgpool")(torch.zeros(1, 1, 8, 8)).numel()
        width = own.in_features // cells
        network.avgpool = nn.AdaptiveAvgPool2d(1)
    layer = nn.Linear(width, classes)
    nn.init.normal_(layer.weight, std=_INITIAL_DEVIATION)
    nn.init.zeros_(layer.bias)
    network.classifier = nn.Sequential(*pooling, nn.Dropout(_DROPOUT), layer)


class Backbone:
    """A network up to its head, as it is in use: batch statistics and dropout stand still.

    Args:
        network: a classifier of torchvision or our own; its modules are shared, not copied.
        last_layer: the head is the last linear layer alone, and all layers before it are backbone.

    Attributes:
        name: path of the head.
        head: takes features to logits (N, C). Whatever it learns, `network` has learnt.
    """

    def __init__(self, network: nn.Module, *, last_layer: bool = False) -> None:
        self._network = network
        self.name = head_path(network)
        if last_layer:
            layers = dict(network.get_submodule(self.name).named_modules(prefix=self.name))
            self.name = [path for path, layer in layers.items() if isinstance(layer, nn.Linear)][-1]
        self.head = _learning_part(network.get_submodule(self.name))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the features (N, D) of normalised images (N, C, H, W); a few networks keep them as (N, D, 1, 1)."""
        caught: list[Tensor] = []
        first = next(iter(self.head)) if isinstance(self.head, nn.Sequential) else self.head
        hook = first.register_forward_pre_hook(
            lambda _module, given: caught.append(given[0].detach().clone())
        )
        self._network.eval()
        try:
            with torch.inference_mode():
                self._network(inputs)
        finally:
            hook.remove()
        return caught[0]

    def digest(self) -> str:
        """Return the SHA-256 of all weights that the features rest on."""
        total = hashlib.sha256()
        state = self._network.state_dict()
        for key in self.lacks(sorted(state)):
            total.update(f"{key} {tuple(state[key].shape)}".encode())
            total.update(state[key].detach().cpu().contiguous().numpy())
        return total.hexdigest()

    def lacks(self, fresh: list[str]) -> list[str]:
        """Return which of the parameters that start `fresh` the features rest on."""
        return [
            key
            for key in fresh
            if not key.startswith(f"{self.name}.") and not key.endswith("num_batches_tracked")
        ]


def head_path(network: nn.Module) -> str:
    """Return the path of a classifier's head: timm's say which layer it is, others call it by one of `HEADS`, or end with it."""
    ask = getattr(network, "get_classifier", None)
    if ask is not None:
        last = ask()
        return str(next(path for path, module in network.named_modules() if module is last))
    named = [name for name in HEADS if isinstance(getattr(network, name, None), nn.Module)]
    linear = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    return str([*linear[-1:], *reversed(named)][-1])


def _learning_part(head: nn.Module) -> nn.Module:
    """Return the head without the pooling it begins with, so that features are as small as they can be."""
    if not isinstance(head, nn.Sequential):
        return head
    layers = list(head)
    while layers and isinstance(layers[0], nn.AdaptiveAvgPool2d | nn.Flatten):
        layers.pop(0)
    return head if len(layers) == len(head) else nn.Sequential(*layers)


_MOST_FEATURES = 4096


class Tapped(nn.Module):
    """A network that also returns its features.

    Args:
        network: a classifier of torchvision or our own, in evaluation mode; it is shared, not copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        head = Backbone(network).head
        self._head = next(iter(head)) if isinstance(head, nn.Sequential) else head

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C) and features (N, D) of normalised images (N, C, H, W)."""
        head_inputs: list[Tensor] = []
        placed: list[Tensor] = []
        hooks = [self._head.register_forward_pre_hook(lambda _, given: head_inputs.append(given[0]))]
        body = getattr(self.network, "features", None)
        if isinstance(body, nn.Module):
            hooks.append(body.register_forward_hook(lambda _, __, made: placed.append(made)))
        try:
            logits = self.network(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        features = head_inputs[0]
        if features.ndim == 2 and features.shape[1] > _MOST_FEATURES and placed:
            features = placed[0]  # VGG judges every place of its map by itself
        return logits, pooled(features)


def pooled(features: Tensor) -> Tensor:
    """Return features (N, D) of (N, D), or of (N, D, h, w) their mean over the places."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else torch.flatten(features, 1)
