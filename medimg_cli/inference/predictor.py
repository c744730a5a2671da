"""A trained model ready to answer: its networks, temperature and threshold as one.

`predict`, `evaluate`, `serve` and `export --verify` share it, so that they cannot differ. Each image is answered on its
own: what else is in its batch does not change a bit of its answer.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg_cli.errors import RunError
from medimg_cli.inference.ensemble_members import members_of, without_copy
from medimg_cli.inference.network import Network
from medimg_cli.inference.onnx_network import OnnxNetwork
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.probabilities import probabilities_from, recalibrated

NO_NUMBER = "the network's answer to an image is no number"


@dataclass(frozen=True)
class Answer:
    """What a model answers to N images.

    Args:
        probabilities: (N, C), calibrated; of an ensemble the mean over its members; as another place has them where the
            run was recalibrated for one.
        features: of each network (N, D), in the order of its members.
        maps: (N, C, h, w), the mean of the networks' class activation maps; None where not asked for, or where a
            network has none.
    """

    probabilities: NDArray[np.float64]
    features: tuple[NDArray[np.float32], ...]
    maps: NDArray[np.float32] | None = None


class Predictor:
    """Answers with probabilities.

    Args:
        card: of the run, which may be an ensemble.
        networks: its members, or the one network it is.
    """

    def __init__(self, card: ModelCard, networks: Sequence[Network]) -> None:
        self.card = card
        self.networks = tuple(networks)

    def answer(self, pixels: Pixels, *, maps: bool = False) -> Answer:
        """Return everything there is to say of (N, H, W, C) pixels made by the model's recipe.

        Where a logit is no finite number, all probabilities of the image are NaN.
        """
        seen = [network(pixels, maps=maps) for network in self.networks]
        probabilities = []
        for one, network in zip(seen, self.networks, strict=True):
            with np.errstate(over="ignore"):
                logits = one.logits / network.card.temperature
            logits[~np.isfinite(logits).all(axis=1)] = np.nan
            probabilities.append(probabilities_from(logits, network.card.answers))
        mean: NDArray[np.float64] = np.mean(probabilities, axis=0)
        if (own := self.card.recalibration) is not None:
            mean = recalibrated(mean, own.scale, own.shift, several=self.card.labels.several)
        return Answer(mean, tuple(one.features for one in seen), _mean_map([one.maps for one in seen]))

    def of_pixels(self, pixels: Pixels) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of (N, H, W, C) pixels made by the model's recipe.

        Raises:
            RunError: the network's answer to one of them is no number.
        """
        found = self.answer(pixels).probabilities
        if not np.isfinite(found).all():
            raise RunError(NO_NUMBER, "its weights or its temperature are out of range; train again")
        return found

    def of_rows(
        self,
        pixels: Pixels,
        positions: NDArray[np.int64],
        *,
        batch_size: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of the images at `positions` (N,) of cached pixels (M, H, W, C)."""
        parts = [np.empty((0, len(self.card.classes)))]
        for start in range(0, len(positions), batch_size):
            chosen = positions[start : start + batch_size]
            parts.append(self.of_pixels(pixels[chosen]))
            advance(len(chosen))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Answering:
    """A model that is opened when it is asked, as an evaluation that is up to date asks none.

    Args:
        opened: opens it.
        views: of each image, whose answers are averaged.
    """

    opened: Callable[[], Predictor]
    views: int = 1


def has_graphics_card() -> bool:
    """Return whether torch may find a faster device than the processor; asked without importing torch."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32/nvcuda.dll").is_file()
    return sys.platform == "darwin" or any(
        Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    )


def quick_predictor(run: Run) -> Predictor | None:
    """Return the model as its ONNX copies answer, None where a network has no copy.

    Raises:
        RunError: the run cannot be used, or a copy is not the one that training wrote.
    """
    card = run.read_card()
    members = members_of(run, card)
    if without_copy(run, card):
        return None
    return Predictor(card, [OnnxNetwork(where.onnx_path, own) for where, own in members])


def _mean_map(maps: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    there = [one for one in maps if one is not None]
    if len(there) < len(maps) or len({one.shape for one in there}) > 1:
        return None
    mean: NDArray[np.float32] = np.mean(there, axis=0)
    return mean
