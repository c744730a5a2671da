"""What moves the weights: AdamW, its one-cycle schedule, and the running average that is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.networks.backbone import head_path

_PARTS = 3


@dataclass(frozen=True)
class RateGroup:
    """Parameters that learn equally fast.

    Args:
        share: of the highest learning rate, 0..1.
    """

    parameters: tuple[nn.Parameter, ...]
    share: float


def rate_groups(network: nn.Module, decay: float) -> list[RateGroup]:
    """Return all parameters of `network`, each in one group; the fastest group, which holds the head, comes first.

    Torchvision's networks and our own register their layers in the order in which images pass them.

    Args:
        decay: 0..1, how much slower each third of the backbone learns than what follows it; 1 = a single group.
    """
    if decay == 1:
        return [RateGroup(tuple(network.parameters()), 1.0)]
    named = list(network.named_parameters())
    head_name = head_path(network)
    head = [parameter for name, parameter in named if name.startswith(f"{head_name}.")]
    parts: list[list[nn.Parameter]] = [[] for _ in range(_PARTS)]
    backbone = [parameter for name, parameter in named if not name.startswith(f"{head_name}.")]
    layers, place = sum(parameter.ndim > 1 for parameter in backbone), 0
    for parameter in backbone:
        # A bias or a scale belongs to the layer before it.
        place += parameter.ndim > 1
        parts[max(0, place - 1) * _PARTS // max(1, layers)].append(parameter)
    groups = [
        RateGroup(tuple(members), decay**steps) for steps, members in enumerate([head, *reversed(parts)])
    ]
    return [group for group in groups if group.parameters]


_WARM_UP_SHARE = 0.15


def optimiser_of(network: nn.Module, plan: TrainingPlan) -> torch.optim.AdamW:
    """Return the plan's optimiser over all parameters of `network`; the fastest ones stand in its first groups."""
    groups: list[dict[str, object]] = []
    for part in rate_groups(network, plan.layer_decay):
        groups += _decayed_and_free(part, plan)
    return torch.optim.AdamW(groups, lr=plan.lr, fused=plan.device.type != "mps")


def schedule_of(optimiser: torch.optim.Optimizer, plan: TrainingPlan, *, steps: int) -> OneCycleLR:
    """Return the one-cycle schedule over so many steps: up for 15 % of them, then down to 0 (Smith 2018).

    Each group of parameters goes up to the rate the optimiser was made with.
    """
    return OneCycleLR(
        optimiser,
        max_lr=[plan.lr * group["share"] for group in optimiser.param_groups],
        total_steps=max(2, steps),
        pct_start=_WARM_UP_SHARE,
        cycle_momentum=False,
    )


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return the running average of `network`'s weights and buffers."""
    return AveragedModel(network, multi_avg_fn=_moving_average(decay), use_buffers=True)


def _moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update of exponentially averaged tensors; early steps average over few, so that the
    random start is soon forgotten."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        for kept, latest in zip(averaged, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(latest, share)
            else:
                kept.copy_(latest)

    return update


def _decayed_and_free(part: RateGroup, plan: TrainingPlan) -> list[dict[str, object]]:
    """Decay the weights of layers only: biases and normalisation scales keep their freedom."""
    decayed = [parameter for parameter in part.parameters if parameter.ndim > 1]
    free = [parameter for parameter in part.parameters if parameter.ndim <= 1]
    own: dict[str, object] = {"lr": plan.lr * part.share, "share": part.share}
    return [
        own | {"params": decayed, "weight_decay": plan.weight_decay},
        own | {"params": free, "weight_decay": 0.0},
    ]
