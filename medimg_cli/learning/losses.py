"""What training minimises: cross-entropy or focal loss, with class weights, label smoothing and mixup."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, C), targets (B,)) → the mean loss of the batch."""


def cross_entropy(class_weights: Tensor, label_smoothing: float) -> Loss:
    """Return the weighted cross-entropy; images of a class with weight 2 count twice in the mean."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, weight=class_weights, label_smoothing=label_smoothing)

    return loss


def focal(class_weights: Tensor, label_smoothing: float, gamma: float) -> Loss:
    """Return the focal loss: an image already called with probability p counts (1 - p)^gamma.

    Lin et al. 2017, arXiv:1708.02002. With gamma 0 and no smoothing it is the weighted cross-entropy.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        surprise = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
        probability = torch.softmax(logits.detach(), dim=1).gather(1, targets[:, None])[:, 0]
        weights = class_weights[targets]
        hard = (1 - probability) ** gamma
        return (weights * hard * surprise).sum() / weights.sum().clamp_min(1e-12)

    return loss


@dataclass(frozen=True)
class Mixture:
    """Two images in one, and how much of each.

    Args:
        inputs: (B, C, H, W), `share` of each image and the rest of another of the batch.
        others: (B,), the other images' targets.
    """

    inputs: Tensor
    others: Tensor
    share: float


def mix(inputs: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> Mixture:
    """Blend every image of a batch with another one, by a share drawn from Beta(alpha, alpha).

    Zhang et al. 2018, arXiv:1710.09412.
    """
    seed, order = (
        torch.randint(2**62, (1,), generator=generator),
        torch.randperm(len(inputs), generator=generator),
    )
    share = float(np.random.default_rng(int(seed)).beta(alpha, alpha))
    order = order.to(inputs.device)
    return Mixture(torch.lerp(inputs[order], inputs, share), targets[order], share)
