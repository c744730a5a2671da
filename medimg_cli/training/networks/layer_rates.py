"""How fast each layer learns: what lies nearer to the images knows more that holds for all images, and learns slower.

Discriminative fine-tuning, Howard and Ruder 2018 (arXiv:1801.06146, section 3.2), by thirds of the backbone instead
of single layers, as their layers of one language model have no counterpart in networks of 8 to 200 layers.
"""

from dataclasses import dataclass

from torch import nn

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
