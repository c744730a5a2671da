"""The same network with nothing learnt left in it, and how like its maps are."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.inference.heatmap import Heat
from medimg_cli.training.networks.backbone import head_path

_STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d)
_BATCH = 8


def shuffled(network: nn.Module, what: str, seed: int, inputs: Tensor) -> nn.Module:
    """Return a copy whose weights are shuffled within each tensor: as large as they were, and nothing learnt left.

    Args:
        what: "head", or "all", of which the batch statistics are then taken anew.
        inputs: (N, C, H, W) to take them of.
    """
    other = copy.deepcopy(network)
    head = head_path(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if what == "all" or name.startswith(f"{head}."):
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.reshape(-1)[order].reshape(weight.shape))
        if what == "all":
            _measure_statistics(other, inputs)
    return other.eval()


def _measure_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Give the normalising layers the statistics of what they now receive; a shuffled network may overflow without."""
    for module in _normalising(network):
        module.reset_running_stats()
        module.momentum = None  # the mean over all that follow
        module.train()
    for start in range(0, len(inputs), _BATCH):
        some = inputs[start : start + _BATCH]
        if len(some) > 1:  # of one image there are no statistics
            network(some)


def _normalising(network: nn.Module) -> Iterator[nn.BatchNorm1d | nn.BatchNorm2d]:
    for module in network.modules():
        if isinstance(module, _STATISTICS):
            yield module


def rank_correlation(one: Heat, two: Heat) -> float:
    """Return Spearman's correlation of two maps of one shape, NaN where one of them is the same everywhere."""
    ranks = np.stack([_ranks(one.ravel()), _ranks(two.ravel())])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((ranks**2).sum(axis=1)).prod())
    return (
        float((ranks[0] * ranks[1]).sum() / scale)
        if scale > 0 and np.isfinite([one, two]).all()
        else float("nan")
    )


def _ranks(values: Heat) -> NDArray[np.float64]:
    """Return ranks from 1, equal values their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean_ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return mean_ranks
