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
from medimg_cli.inference.onnx_network import Network, OnnxNetwork
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
        found = [one.maps for one in seen if one.maps is not None]
        mean_map = _mean_map(found) if len(found) == len(seen) else None
        return Answer(mean, tuple(one.features for one in seen), mean_map)

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


def _mean_map(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of maps (N, C, h, w), the coarser ones stretched to the finest (bilinear)."""
    finest = max(each.shape[2:] for each in maps)
    stretched = []
    for each in maps:
        for axis, side in zip((2, 3), finest, strict=True):
            own = each.shape[axis]
            at = np.clip((np.arange(side) + 0.5) * own / side - 0.5, 0, own - 1)
            low = at.astype(int)
            share = np.expand_dims(at - low, 1) if axis == 2 else at - low
            upper = each.take(np.minimum(low + 1, own - 1), axis)
            each = each.take(low, axis) * (1 - share) + upper * share
        stretched.append(each)
    return np.mean(stretched, axis=0, dtype=np.float32)  # type: ignore[no-any-return]


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


def members_of(run: Run, card: ModelCard) -> list[tuple[Run, ModelCard]]:
    """Return the networks that answer: the run's own, or an ensemble's members.

    Raises:
        RunError: a member is missing, or is not the one that the ensemble was made of.
    """
    if not card.members:
        return [(run, card)]
    found = []
    for member in card.members:
        own = Run(run.folder / member.folder)
        own_card = own.read_card()
        if own_card.weights_sha256 != member.weights_sha256:
            raise RunError(
                f"{own.card_path} is not the member this ensemble was made of", "restore it, or train again"
            )
        found.append((own, own_card))
    return found


def without_copy(run: Run, card: ModelCard) -> list[tuple[Run, ModelCard]]:
    """Return those of `members_of` that have no ONNX copy."""
    return [
        (own, own_card)
        for own, own_card in members_of(run, card)
        if own_card.onnx_sha256 is None or not own.onnx_path.is_file()
    ]
