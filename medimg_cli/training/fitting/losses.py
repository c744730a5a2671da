"""What training minimises, by kind of labels: one class an image, several, or grades; with weights and smoothing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, C), targets) → the mean loss of the batch; targets are class indices (B,), or, of several labels an
image, (B, C) of 1, 0 and NaN for unknown."""

_MOST_BY_RARITY = 30.0


def of_name(name: str, class_weights: Tensor, label_smoothing: float, gamma: float) -> Loss:
    """Return the loss called `name`: ce, focal, bce or ordinal.

    Args:
        class_weights: (C,), of each class; for several labels an image, of each label's positives.
        gamma: of the focal loss.
    """
    made: dict[str, Callable[[], Loss]] = {
        "ce": lambda: cross_entropy(class_weights, label_smoothing),
        "focal": lambda: focal(class_weights, label_smoothing, gamma),
        "bce": lambda: binary_cross_entropy(class_weights, label_smoothing),
        "ordinal": lambda: ordinal(class_weights, label_smoothing),
    }
    return made[name]()


def weights_of(targets: Tensor, class_weights: Tensor) -> Tensor:
    """Return how much each target counts in a mean loss, in the shape of `targets`; what is unknown counts nothing."""
    if targets.ndim == 1:
        return class_weights[targets]
    return torch.where(targets == 1, class_weights, 1.0) * ~torch.isnan(targets)


def balanced_positives(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weight (C,) of each label's positives by which they count as much as its negatives.

    N_neg / N_pos of what is known, but 30 at most: with more, one image of a rare finding would outweigh all others
    of its batch of 32, and training would follow whichever of the few was drawn.

    Args:
        targets: (N, C) of 1, 0 and NaN for unknown.
    """
    positives, negatives = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
    ratio: NDArray[np.float64] = negatives / np.maximum(positives, 1)
    return ratio.clip(1 / _MOST_BY_RARITY, _MOST_BY_RARITY)


def cross_entropy(class_weights: Tensor, label_smoothing: float) -> Loss:
    """Return the weighted cross-entropy; images of a class with weight 2 count twice in the mean."""
    return partial(F.cross_entropy, weight=class_weights, label_smoothing=label_smoothing)


def focal(class_weights: Tensor, label_smoothing: float, gamma: float) -> Loss:
    """Return the focal loss: an image already called with probability p counts (1 - p)^gamma.

    Lin et al. 2017, arXiv:1708.02002. With gamma 0 and no smoothing it is the weighted cross-entropy. Of several
    labels an image, each label counts so on its own.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 2:
            return _binary(logits, targets, class_weights, label_smoothing, gamma)
        surprise = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
        probability = torch.softmax(logits.detach(), dim=1).gather(1, targets[:, None])[:, 0]
        weights = weights_of(targets, class_weights)
        hard = (1 - probability) ** gamma
        return (weights * hard * surprise).sum() / weights.sum().clamp_min(1e-12)

    return loss


def binary_cross_entropy(positive_weights: Tensor, label_smoothing: float) -> Loss:
    """Return the weighted cross-entropy of several labels an image; a label nobody judged has no part in it."""
    return partial(_binary, positive_weights=positive_weights, label_smoothing=label_smoothing, gamma=0.0)


def ordinal(class_weights: Tensor, label_smoothing: float) -> Loss:
    """Return the loss of grades: the negative log likelihood of `statistics.probabilities.of_grades`, with class weights.

    Shi, Cao, Raschka 2023, arXiv:2111.08851; there the mean is over an image's questions, here over images, so that
    high grades, which are asked more, do not count more than their weights say.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        steps = torch.arange(logits.shape[1] - 1, device=logits.device)
        above = (targets[:, None] > steps).to(logits.dtype)
        surprise = F.binary_cross_entropy_with_logits(
            logits[:, :-1], _smoothed(above, label_smoothing), reduction="none"
        )
        asked = targets[:, None] >= steps
        weights = weights_of(targets, class_weights)
        return (weights * (surprise * asked).sum(dim=1)).sum() / weights.sum().clamp_min(1e-12)

    return loss


def _binary(
    logits: Tensor, targets: Tensor, positive_weights: Tensor, label_smoothing: float, gamma: float
) -> Tensor:
    """Return the mean over known labels of the cross-entropy, labels that are called already counting less."""
    truth = torch.nan_to_num(targets)
    surprise = F.binary_cross_entropy_with_logits(logits, _smoothed(truth, label_smoothing), reduction="none")
    if gamma:
        chance = torch.sigmoid(logits.detach())
        surprise = surprise * torch.where(truth == 1, 1 - chance, chance) ** gamma
    weights = weights_of(targets, positive_weights)
    return (weights * surprise).sum() / weights.sum().clamp_min(1e-12)


def _smoothed(truth: Tensor, share: float) -> Tensor:
    """Return marks of 0 and 1 of which `share` is dealt to both evenly, as label smoothing does with two classes."""
    return truth * (1 - share) + share / 2


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


def mixed_batch(
    inputs: Tensor, targets: Tensor, generator: torch.Generator, *, mixup: float, cutmix: float
) -> Mixture:
    """Return a batch mixed by either way whose alpha is not 0; of both, each is drawn with the same chance."""
    if not cutmix or (mixup and float(torch.rand(1, generator=generator)) < 0.5):
        return mix(inputs, targets, mixup, generator)
    return cut(inputs, targets, cutmix, generator)


def cut(inputs: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> Mixture:
    """Replace one rectangle, the same in every image of a batch, by that of another image.

    Its area is drawn from Beta(alpha, alpha) and its centre anywhere, so that borders may cut it; the share of the
    label follows what is left of it. Yun et al. 2019, arXiv:1905.04899.

    Args:
        inputs: (B, C, H, W).
        targets: (B, …).
    """
    seed = torch.randint(2**62, (1,), generator=generator)
    order = torch.randperm(len(inputs), generator=generator)
    top, bottom, left, right = _rectangle(
        inputs.shape[-2], inputs.shape[-1], alpha, np.random.default_rng(int(seed))
    )
    order = order.to(inputs.device)
    mixed = inputs.clone(memory_format=torch.preserve_format)
    mixed[..., top:bottom, left:right] = inputs[order, :, top:bottom, left:right]
    taken = (bottom - top) * (right - left) / (inputs.shape[-2] * inputs.shape[-1])
    return Mixture(mixed, targets[order], 1 - taken)


def _rectangle(
    height: int, width: int, alpha: float, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a rectangle with the images' side ratio, cut at their borders."""
    scale = math.sqrt(1 - float(random.beta(alpha, alpha)))
    across, down = width * scale, height * scale
    x, y = random.uniform(0, width), random.uniform(0, height)
    top, bottom = (round(min(max(place, 0), height)) for place in (y - down / 2, y + down / 2))
    left, right = (round(min(max(place, 0), width)) for place in (x - across / 2, x + across / 2))
    return top, bottom, left, right
