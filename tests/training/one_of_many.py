"""Trains a small network on drawn images, alone or as one of several processes: what `test_distributed` starts.

python -m tests.training.one_of_many FOLDER
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medimg_cli.runs.run import Normalisation
from medimg_cli.training.architectures.small_cnn import SmallCNN
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.device import Normaliser
from medimg_cli.training.distributed.all_reduce import here
from medimg_cli.training.distributed.join import joined
from medimg_cli.training.fitting.loop import fit
from medimg_cli.training.fitting.plan import TrainingPlan
from medimg_cli.training.fitting.scoring import predict_logits
from medimg_cli.workspace.progress import SilentProgress

CPU = torch.device("cpu")
PLAN = TrainingPlan(
    epochs=1,
    lr=4e-3,
    weight_decay=0.05,
    label_smoothing=0.1,
    class_weights=torch.tensor([0.6, 1.7, 1.1]),
    ema=0.9,
    augment=preset("light"),
    monitor="loss",
    patience=9,
    positive=(),
    seed=3,
    device=CPU,
)
# 37 images in batches of 12: the last batch has one image, which is left out; of 38 it has two, in batches of 7 three.
WAYS: dict[str, dict[str, Any]] = {
    "weighted": {},
    "uneven": {"images": 38, "batch": 7},
    "one image for two": {"images": 1, "batch": 7},
    "mixup": {"mixup": 0.4, "images": 38},
    "accumulated": {"accumulate": 3, "clip": 0.1, "images": 38, "batch": 7},
    "focal": {"loss": "focal"},
    "sampled": {"even": True, "cutmix": 1.0},
    "two epochs": {"epochs": 2, "images": 38},
}


IN_SINGLE = ("weighted", "accumulated")


def trained(
    way: dict[str, Any], kind: torch.dtype, plan: TrainingPlan = PLAN
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Return the kept weights and the history of one training, computed in `kind` of numbers."""
    chosen = dict(way)
    images, batch, even = chosen.pop("images", 37), chosen.pop("batch", 12), chosen.pop("even", False)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 16, 16, 1), dtype=np.uint8)
    split = PixelBatches(
        pixels, np.arange(images), targets=np.arange(images) % 3, batch_size=batch, even=even
    )
    torch.manual_seed(0)
    network = SmallCNN(3, 1, 28, width=8).to(kind)
    normaliser = Normaliser(Normalisation(mean=(0.5,), std=(0.3,)), CPU)
    result = fit(
        network,
        split,
        split,
        lambda inputs: normaliser(inputs).to(kind),
        replace(plan, **chosen),
        SilentProgress(),
    )
    network.load_state_dict(result.state)
    logits = predict_logits(network, split, lambda inputs: normaliser(inputs).to(kind), world=here())
    return result.state | {"logits": torch.from_numpy(logits)}, result.history


def both_precisions() -> list[dict[str, Any]]:
    """Return what the ways of training come to, in double and in single precision."""
    torch.set_num_threads(1)
    ways: tuple[tuple[torch.dtype, Iterable[str]], ...] = ((torch.float64, WAYS), (torch.float32, IN_SINGLE))
    return [{name: trained(WAYS[name], kind) for name in names} for kind, names in ways]


def started(
    size: int, *arguments: str, module: str = "tests.training.one_of_many"
) -> list["subprocess.Popen[str]"]:
    """Start `python -m module arguments` in so many processes that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        environment = os.environ | {name: str(value) for name, value in (place | meeting).items()}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments], env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    return processes


def main(folder: str) -> None:
    """Write what each process comes to into FOLDER/RANK.pt."""
    with joined("cpu") as world:
        torch.save(both_precisions(), Path(folder) / f"{world.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
