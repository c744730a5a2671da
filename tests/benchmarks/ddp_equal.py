"""How far several processes end up from one after an epoch on a real set: weights, and validation probabilities.

python -m tests.benchmarks.ddp_equal ../shared/data/medmnist/pneumoniamnist.npz [--processes 2] [--images 4708]

Beside them stands one process on two threads instead of one: the order in which a processor sums is no part of a
training, and what it alone changes is as equal as two trainings in single precision can be. `--double` computes in
double precision, where nothing but a difference between the trainings is left.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medimg_cli.statistics.probabilities import probabilities_from
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.batches import PixelBatches, balanced_weights, measure_normalisation
from medimg_cli.training.device import Normaliser
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.distributed.join import joined
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.scoring import predict_logits
from medimg_cli.training.fitting.trainer import Trainer
from medimg_cli.training.networks.networks import build_network
from medimg_cli.workspace.progress import SilentProgress
from tests.benchmarks.killing import say
from tests.training.one_of_many import started

# Name, batch size, class weights or not, epochs of the schedule of which the first is trained.
_WAYS = (
    ("class weights", 32, True, 1),
    ("class weights, uneven batches", 37, True, 1),
    ("no class weights", 32, False, 1),
    ("the first of 12 epochs", 32, True, 12),
)
_CPU = torch.device("cpu")


def main() -> int:
    """Print the largest differences; started with a rank in the environment, train instead."""
    options = _options()
    if options.results is not None:
        with joined("cpu") as world:
            found = _all_ways(options)
            if world.leads:
                torch.save(found, options.results)
        return 0
    say(
        f"{'way':32} {'processes':>9} {'threads':>7} {'weights':>9} {'probabilities':>13} {'wall s':>7} {'CPU s':>7}"
    )
    with tempfile.TemporaryDirectory() as name:
        alone = _measured(options, Path(name), 1, 1)
        _measured(options, Path(name), 1, 2, alone)
        _measured(options, Path(name), options.processes, 1, alone)
    return 0


def _measured(
    options: argparse.Namespace,
    folder: Path,
    processes: int,
    threads: int,
    beside: dict[str, dict[str, Tensor]] | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Return what so many processes come to, and print how far it lies from `beside`."""
    results = folder / f"{processes}-{threads}.pt"
    arguments = [str(options.images_file), "--results", str(results), "--threads", str(threads)]
    arguments += ["--images", str(options.images), "--seed", str(options.seed)]
    arguments += ["--double"] if options.double else []
    began, used = time.perf_counter(), _cpu_seconds()
    running = started(processes, *arguments, module="tests.benchmarks.ddp_equal")
    for process in running:
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(said)
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - used
    found: dict[str, dict[str, Tensor]] = torch.load(results, weights_only=True)
    for way, state in found.items():
        apart = _apart(state, beside[way]) if beside else (0.0, 0.0)
        say(f"{way:32} {processes:9} {threads:7} {apart[0]:9.1e} {apart[1]:13.1e} {wall:7.1f} {cpu:7.1f}")
    return found


def _apart(first: dict[str, Tensor], second: dict[str, Tensor]) -> tuple[float, float]:
    apart = {key: float((first[key].double() - second[key].double()).abs().max()) for key in first}
    return max(value for key, value in apart.items() if key != "probabilities"), apart["probabilities"]


def _all_ways(options: argparse.Namespace) -> dict[str, dict[str, Tensor]]:
    torch.set_num_threads(options.threads)
    kind = torch.float64 if options.double else torch.float32
    arrays = np.load(options.images_file)
    train = _split(arrays, "train", options.images)
    val = _split(arrays, "val", options.images)
    found = {}
    for name, batch_size, weighted, epochs in _WAYS:
        torch.manual_seed(options.seed)
        network = build_network("small-cnn", classes=2, channels=1, size_px=28).to(kind)
        normaliser = Normaliser(measure_normalisation(_in_batches(train, batch_size)), _CPU)

        def prepare(images: Tensor, normaliser: Normaliser = normaliser) -> Tensor:
            return normaliser(images).to(kind)

        plan = _plan(options.seed, balanced_weights(train[1], 2) if weighted else np.ones(2), epochs)
        seen, watched = _in_batches(train, batch_size), _in_batches(val, batch_size)
        trainer = Trainer(network, seen, prepare, plan)
        trainer.run_epoch(SilentProgress())
        state = trainer.state()
        network.load_state_dict(state)
        logits = predict_logits(network, watched, prepare, world=here())
        probabilities = torch.from_numpy(probabilities_from(logits, "softmax"))
        found[name] = state | {"probabilities": probabilities}
    return found


def _plan(seed: int, weights: "np.ndarray[tuple[int], np.dtype[np.float64]]", epochs: int) -> TrainingPlan:
    """Return what a plain `medimg train` does, but for the number of epochs."""
    return TrainingPlan(
        epochs=epochs,
        lr=4e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        class_weights=torch.from_numpy(weights),
        ema=0.995,
        augment=preset("light"),
        monitor="auroc",
        patience=1,
        positive=(1,),
        seed=seed,
        device=_CPU,
    )


def _split(arrays: "np.lib.npyio.NpzFile", name: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = arrays[f"{name}_images"][:most], arrays[f"{name}_labels"][:most]
    return pixels.reshape(*pixels.shape[:3], -1), labels.ravel().astype(np.int64)


def _in_batches(split: tuple[np.ndarray, np.ndarray], batch_size: int) -> PixelBatches:
    return PixelBatches(split[0], np.arange(len(split[1])), targets=split[1], batch_size=batch_size)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images_file", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=10**6, help="of each split, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
