"""Several processes that train one network together, to the same model as one process alone.

Every process draws the same order of images and the same chance for their changes, takes its own slice of each batch
through the network, and hands its logits to all others. So each of them has the loss of the *whole* batch, whatever
that loss is (class weights, mixup, an uneven last batch), and the gradients of its own slice; summed, they are those
of one process. Averaging losses of slices, as `DistributedDataParallel` does, is equal only for unweighted losses of
even slices. What is summed travels in few large pieces; logits are small.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.training.distributed.ranks import Process

Value = TypeVar("Value")
_BUCKET_NUMBERS = 8_000_000
_SAME_SIGNAL_SECONDS = 1.0


class PeerLostError(MachineError):
    """Another process of the training is gone."""


class World:
    """The processes that train together, seen from one of them.

    Args:
        process: this process's place.
    """

    def __init__(self, process: Process) -> None:
        self.process, self.rank, self.size = process, process.rank, process.size
        self.count, self.rows = 0, slice(0, 0)  # of the batch at hand: see `own`
        self._stop_asked = 0.0
        self._stops_together = False
        self._parent = os.getppid()
        self.patient: Any = None  # the group in which waiting may take long

    def __deepcopy__(self, _memo: object) -> "World":
        return self  # an averaged network is a copy in the same world

    @property
    def leads(self) -> bool:
        """Return whether this process is the one that writes and speaks."""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """Return which rows of a batch of `count` are this process's; they are remembered for `whole`."""
        self.count = count
        self.rows = slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)
        return self.rows

    def whole(self, logits: Tensor) -> Tensor:
        """Return the logits (count, …) of the batch from everybody's own rows (rows, …); gradients flow to the own.

        Raises:
            KeyboardInterrupt: somebody was asked to stop; raised in all processes alike.
            PeerLostError: another process is gone.
        """
        if self.size == 1:
            return logits
        gathered: Tensor = _Whole.apply(logits, self)  # type: ignore[no-untyped-call]
        return gathered

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all processes, in place; the result has the same bits in each of them.

        Raises:
            PeerLostError: another process is gone.
        """
        if self.size > 1:
            with _translated():
                dist.all_reduce(tensor)
        return tensor

    def filled(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `array` with what each process filled in; elsewhere it held 0."""
        if self.size == 1:
            return array
        return self.sum_(torch.from_numpy(array)).numpy()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in place."""
        if self.size == 1:
            return
        for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
            flat = self.sum_(torch.cat([gradient.reshape(-1) for gradient in bucket]))
            pieces = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, summed in zip(bucket, pieces, strict=True):
                gradient.copy_(summed.view_as(gradient))

    def begin_alike(self, network: nn.Module) -> None:
        """Give `network` the leader's parameters and buffers in every process."""
        if self.size > 1:
            for value in network.state_dict().values():
                # Sent in the order of its indices: processes may lay out memory differently.
                sent = value.detach().contiguous()
                with _translated():
                    dist.broadcast(sent, 0)
                value.copy_(sent)

    def check_alike(self, *facts: object) -> None:
        """Make sure that all processes are about to do the same: else they would wait for each other for ever.

        Raises:
            MachineError: this process has other facts than the leader.
        """
        leaders = self.broadcast(lambda: facts)
        if leaders != facts:
            raise MachineError(
                f"process {self.rank} of {self.size} plans another training: {facts} instead of {leaders}",
                "say what the machine decided, such as --batch-size and --epochs; use one version on all machines",
            )

    def broadcast(self, task: Callable[[], Value]) -> Value:
        """Return what `task` returns in the leader; the others wait for it and do nothing."""
        if self.size == 1:
            return task()
        answer: list[Any] = [task() if self.leads else None]
        with _translated():
            dist.broadcast_object_list(answer, 0, group=self.patient)
        value: Value = answer[0]
        return value

    def in_turn(self, task: Callable[[], Value]) -> Value:
        """Return what `task` returns here; the leader does it first, then the others: they find it done."""
        if self.size == 1:
            return task()
        mine: Value
        for rank in range(self.size):
            if rank == self.rank:
                mine = task()
            with _translated():
                dist.barrier(group=self.patient)
        return mine

    def stop_is_asked(self) -> bool:
        """Return whether this process got a signal to stop, or whoever started it is gone."""
        return bool(self._stop_asked) or os.getppid() != self._parent

    @contextmanager
    def stopping_together(self) -> Iterator[None]:
        """From here on a signal waits for the next step, so that all processes stop at the same one."""
        self._stops_together = self.size > 1
        try:
            yield
        finally:
            self._stops_together = False

    def on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        """Note that somebody wants this process to stop; a second time it stops at once, in the middle of a step.

        Raises:
            KeyboardInterrupt: it stops at once.
        """
        now = time.monotonic()
        again = self._stop_asked and now - self._stop_asked > _SAME_SIGNAL_SECONDS
        if again or not self._stops_together:
            raise KeyboardInterrupt
        self._stop_asked = self._stop_asked or now


ALONE = World(Process())
_here = ALONE


def here() -> World:
    """Return the world this process is in."""
    return _here


@contextmanager
def inside(world: World) -> Iterator[None]:
    """For the time of the block, `here()` is `world`."""
    global _here
    _here = world
    try:
        yield
    finally:
        _here = ALONE


def check_batch_size(batch_size: int) -> None:
    """Refuse batches too small for everybody to have an image of.

    Raises:
        UsageError: the batch is smaller than the number of processes.
    """
    if batch_size < _here.size:
        raise UsageError(
            f"--batch-size {batch_size} leaves some of {_here.size} processes without an image",
            "it counts the images of all processes together: give more, or start fewer processes",
        )


class _Whole(torch.autograd.Function):
    """Everybody's rows of a batch as one tensor."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, world: World) -> Tensor:
        ctx.rows = world.rows
        width = logits.shape[1:].numel()  # known also to a process without rows
        numbers = world.count * width
        sent = torch.zeros(numbers + 1, dtype=torch.float64, device=logits.device)
        sent[:numbers].view(world.count, width)[world.rows] = logits.reshape(len(logits), width).double()
        sent[numbers] = float(world.stop_is_asked())
        world.sum_(sent)
        if sent[numbers]:
            raise KeyboardInterrupt
        return sent[:numbers].view(world.count, *logits.shape[1:]).to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.rows], None


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the gradients in pieces large enough to be worth a message, and small enough to be copied."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(each.numel() for each in bucket) >= _BUCKET_NUMBERS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


@contextmanager
def _translated() -> Iterator[None]:
    """Say in one line what torch says in many when another process is gone or hangs."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(
            "another process of this training is gone",
            "look at what it said last; go on with --resume once its reason is mended",
        ) from error
