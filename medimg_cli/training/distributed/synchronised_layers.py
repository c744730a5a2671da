"""Layers that see the whole batch although each process holds a slice of it: batch statistics and dropout."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medimg_cli.training.distributed.all_reduce import World


def see_whole_batches(network: nn.Module, world: World, device: torch.device) -> None:
    """Let the layers of `network` that look across images look across those of all processes; names stay.

    Args:
        network: changed in place; alone, it is left as it is.
        device: on a GPU batch normalisation becomes torch's own `SyncBatchNorm`, which there is for GPUs only.
    """
    if world.size == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for module in network.modules():
        kind = _KINDS.get(type(module).__name__)
        if kind is not None and not isinstance(module, nn.SyncBatchNorm):
            module.__class__ = kind
            module.world = world  # type: ignore[assignment]


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by mean and variance over the slices of all processes (Ioffe and Szegedy 2015)."""

    world: World

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of dimensions: (N, C, …)."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        mean, variance, count = _statistics(input, self.world)
        self._remember(mean, variance, count)
        weight = torch.ones_like(mean) if self.weight is None else self.weight
        shared: Tensor = _Normalised.apply(  # type: ignore[no-untyped-call]
            input, weight, self.bias, mean, variance, count, self.eps, self.world
        )
        return shared

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics as `BatchNorm2d` does: the variance of a population, estimated from a sample."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(1.0, count - 1)), share)


class SharedDropout(nn.Dropout):
    """Dropout that draws for the whole batch, as one process would, and drops in its own slice."""

    world: World

    def forward(self, input: Tensor) -> Tensor:
        mine = self.world.rows
        if not self.training or self.p == 0 or len(input) != mine.stop - mine.start:
            return super().forward(input)
        return input * F.dropout(_ones(input, self.world.count, input.shape[1:]), self.p)[mine]


class SharedDepth(nn.Module):
    """torchvision's stochastic depth, row by row (Huang et al. 2016), drawn for the whole batch."""

    world: World
    p: float
    mode: str

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        survival = 1 - self.p
        across = self.mode == "batch"
        mine = slice(None) if across else self.world.rows
        shape = torch.Size([1] * (input.ndim - 1))
        kept = _ones(input, 1 if across else self.world.count, shape).bernoulli_(survival)[mine]
        return input * (kept / survival if survival else kept)


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), SharedBatchNorm),
    "Dropout": SharedDropout,
    "StochasticDepth": SharedDepth,
}


def _ones(like: Tensor, count: int, shape: torch.Size) -> Tensor:
    """Return ones (count, *shape) laid out in memory as `like` is: chance is handed out in that order."""
    ones = torch.ones((count, *shape), dtype=like.dtype, device=like.device)
    if ones.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last):
        ones = ones.contiguous(memory_format=torch.channels_last)
    return ones


def _statistics(input: Tensor, world: World) -> tuple[Tensor, Tensor, float]:
    """Return mean and variance (C,) over everything but channels, in float32 or wider, and how many numbers they rest on.

    Slices are joined by their means and squared deviations (Chan et al. 1983, doi:10.1080/00031305.1983.10483115):
    squares of the values themselves would cancel. Two small sums travel.
    """
    detached = input.detach()
    wide = torch.promote_types(input.dtype, torch.float32)
    axes = [axis for axis in range(input.ndim) if axis != 1]
    mine = detached.numel() // max(1, detached.shape[1])
    if mine:
        deviations, mean = torch.var_mean(detached.to(wide), dim=axes, correction=0)
    else:
        mean = torch.zeros(detached.shape[1], dtype=wide, device=input.device)
        deviations = mean
    # In double precision, so that the joined figures are those of one process up to its own rounding.
    first = torch.cat([mean.double() * mine, mean.new_tensor([float(mine)], dtype=torch.float64)])
    world.sum_(first)
    count = float(first[-1])
    whole_mean = first[:-1] / count
    squares = mine * (deviations.double() + (mean.double() - whole_mean) ** 2)
    whole_variance = world.sum_(squares) / count
    return whole_mean.to(wide), whole_variance.to(wide), count


class _Normalised(torch.autograd.Function):
    """Normalise by given statistics, with the gradient they have as functions of all slices."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: float,
        eps: float,
        world: World,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, variance)
        ctx.count, ctx.eps, ctx.world = count, eps, world
        return F.batch_norm(input, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        """Return d/dx = w/σ · (dy - Σdy/n - x̂ · Σ(dy·x̂)/n), the sums over all slices, and the slice's own d/dw, d/db."""
        input, weight, mean, variance = ctx.saved_tensors
        if input.numel():
            plain, scale_gradient, shift_gradient = torch.ops.aten.native_batch_norm_backward(
                gradient, input, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
            )
        else:  # which divides by the number of images
            plain = torch.zeros_like(input)
            scale_gradient, shift_gradient = torch.zeros_like(mean), torch.zeros_like(mean)
        sums = torch.cat([shift_gradient.double(), scale_gradient.double()])
        shift_mean, scale_mean = (ctx.world.sum_(sums) / ctx.count).chunk(2)
        deviation = torch.rsqrt(variance.double() + ctx.eps)
        gain = deviation * weight.double()
        slope = -gain * deviation * scale_mean
        offset = -gain * shift_mean - slope * mean.double()
        shape = (1, -1) + (1,) * (input.ndim - 2)
        plain.addcmul_(input.to(plain.dtype), slope.to(plain.dtype).view(shape))
        plain.add_(offset.to(plain.dtype).view(shape))
        return plain, scale_gradient, shift_gradient, *([None] * 5)


@contextmanager
def unwarned_if_empty(inputs: Tensor) -> Iterator[None]:
    """Let a process without images in a small last batch take part without torch's warnings of empty means."""
    if len(inputs):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
