"""Two images in one: blended as a whole (mixup), or one with a piece of the other (cutmix)."""

import math

import numpy as np
import torch
from torch import Tensor

from medimg_cli.training.fitting.losses import Mixture, mix
from medimg_cli.training.fitting.plan import TrainingPlan


def mixed_batch(inputs: Tensor, targets: Tensor, plan: TrainingPlan, generator: torch.Generator) -> Mixture:
    """Return a batch mixed in the plan's way; where it names both, either is drawn with the same chance."""
    if not plan.cutmix:
        return mix(inputs, targets, plan.mixup, generator)
    if plan.mixup and float(torch.rand(1, generator=generator)) < 0.5:
        return mix(inputs, targets, plan.mixup, generator)
    return cut(inputs, targets, plan.cutmix, generator)


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
