"""What a network makes of images on its way to an answer: the features its head judges."""

import torch
from torch import Tensor, nn

from medimg_cli.training.networks.backbone import Backbone

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
        self._judging = next(iter(head)) if isinstance(head, nn.Sequential) else head

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C) and features (N, D) of normalised images (N, C, H, W)."""
        judged: list[Tensor] = []
        placed: list[Tensor] = []
        hooks = [self._judging.register_forward_pre_hook(lambda _, given: judged.append(given[0]))]
        body = getattr(self.network, "features", None)
        if isinstance(body, nn.Module):
            hooks.append(body.register_forward_hook(lambda _, __, made: placed.append(made)))
        try:
            logits = self.network(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        features = judged[0]
        if features.ndim == 2 and features.shape[1] > _MOST_FEATURES and placed:
            features = placed[0]  # VGG judges every place of its map by itself
        return logits, pooled(features)


def pooled(features: Tensor) -> Tensor:
    """Return features (N, D) of (N, D), or of (N, D, h, w) their mean over the places."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else torch.flatten(features, 1)
