"""How much of this machine's arithmetic the training of `small-cnn` uses.

    python -m tests.benchmarks.bench_utilisation [--sizes 28,64,128,224] [--threads 1,2] [--steps 12] [--rounds 5]

Prints a Markdown table. A step is the whole of what `medimg train` does with a batch of 32 grey images: take it from
memory, augment, forward, backward, clip, AdamW, schedule, averaged weights. Its floating-point operations are those of
the convolutions and linear layers, forward and backward, as torch counts them; all else is overhead here. The peak is
what a multiplication of two 2,048 x 2,048 float32 matrices reaches, measured before every round. The share by CPU
time is what to read on a machine that is busy with something else.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.runs.run import Normalisation
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.device import Normaliser, prepare_processor
from medimg_cli.training.fitting.plan import plan_training
from medimg_cli.training.fitting.trainer import Trainer
from medimg_cli.training.networks.networks import build_network
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import TrainSettings

_BATCH = 32
_SIDE = 2048
_PROCESSOR = torch.device("cpu")
_NORMALISATION = Normalisation(mean=(0.5,), std=(0.25,))


@dataclass(frozen=True)
class Pace:
    """Floating-point operations (10^9) a second of wall time, and a second of CPU time of all threads together."""

    by_wall: float
    by_cpu: float


def pace_of(work: Callable[[], object], flops: float) -> Pace:
    """Return how fast `work`, which takes so many operations, is done."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
    return Pace(flops / wall / 1e9, flops / cpu / 1e9)


def matmul_pace() -> Pace:
    first, second = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
    return pace_of(lambda: first @ second, 2 * _SIDE**3)


def step_flops(network: nn.Module, size_px: int) -> tuple[int, int]:
    """Return the operations of one step, forward and backward, and of its forward pass alone."""
    images = torch.rand(_BATCH, 1, size_px, size_px)
    with FlopCounterMode(display=False) as forward:
        loss = network(images).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    network.zero_grad(set_to_none=True)
    return forward.get_total_flops() + backward.get_total_flops(), forward.get_total_flops()


def trainer_for(network: nn.Module, size_px: int, steps: int) -> Trainer:
    """Return a training at its default settings, of noise: what the images show does not change the time."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (_BATCH * steps, size_px, size_px, 1), dtype=np.uint8)
    targets = generator.integers(0, 2, len(pixels))
    batches = PixelBatches(pixels, np.arange(len(pixels)), targets=targets, batch_size=_BATCH)
    labels = LabelSpace(("normal", "ill"), "ill")
    plan = plan_training(TrainSettings(epochs=1000, augment="light"), batches, labels, _PROCESSOR)
    return Trainer(network, batches, Normaliser(_NORMALISATION, _PROCESSOR), plan)


def line(size_px: int, threads: int, steps: int, rounds: int) -> str:
    """Return one row of the table: the median of the rounds, after one to warm up."""
    torch.manual_seed(0)
    network = build_network("small-cnn", classes=2, channels=1, size_px=size_px)
    flops, forward = step_flops(network, size_px)
    trainer = trainer_for(network, size_px, steps)
    torch.set_num_threads(threads)
    peaks, paces = [], []
    for _ in range(rounds + 1):
        peaks.append(matmul_pace())
        paces.append(pace_of(lambda: trainer.run_epoch(SilentProgress()), steps * flops))
    peak = Pace(max(one.by_wall for one in peaks[1:]), max(one.by_cpu for one in peaks[1:]))
    pace = Pace(median(one.by_wall for one in paces[1:]), median(one.by_cpu for one in paces[1:]))
    cells = (
        f"{size_px}",
        f"{threads}",
        f"{flops / 1e9:.2f} ({flops / forward:.2f})",
        f"{flops / pace.by_wall / 1e6:.1f}",
        f"{pace.by_wall:.1f}",
        f"{peak.by_wall:.1f}",
        f"{pace.by_wall / peak.by_wall:.0%}",
        f"{pace.by_cpu / peak.by_cpu:.0%}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description="measure how much of the machine's arithmetic training uses")
    parser.add_argument("--sizes", default="28,64,128,224")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--steps", type=int, default=12, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    prepare_processor()  # keeps freed memory, as `medimg train` does
    sys.stdout.write(
        "| image px | threads | GFLOP a step (of one forward pass) | ms a step | GFLOP/s | matmul GFLOP/s "
        "| of the peak | by CPU time |\n|---|---|---|---|---|---|---|---|\n"
    )
    for threads in (int(number) for number in given.threads.split(",")):
        for size_px in (int(number) for number in given.sizes.split(",")):
            sys.stdout.write(line(size_px, threads, given.steps, given.rounds) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
