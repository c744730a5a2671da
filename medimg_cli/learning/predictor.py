"""A trained model ready to answer: recipe, networks, normalisation and threshold as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.core.answers import probabilities_from
from medimg_cli.core.cache import PixelCache
from medimg_cli.core.recipe import Pixels
from medimg_cli.core.run import ModelCard, Run
from medimg_cli.errors import RunError
from medimg_cli.learning.augmentation.views import PLAIN, views_of
from medimg_cli.learning.checkpoint import load_network
from medimg_cli.learning.dataset import Batch, PixelBatches
from medimg_cli.learning.device import choose_device, prepare_processor
from medimg_cli.learning.normalise import Normaliser


class Predictor:
    """Answers with probabilities; `evaluate` and `predict` share it, so that they cannot differ.

    An ensemble answers with the mean of its members' calibrated probabilities, as one model.

    Args:
        run: a folder with `model.json` and `model.safetensors`, or with the members of an ensemble.
        device: "auto", "cpu", "cuda", "mps".
        tta: ask about several views of each image, as `learning.augmentation.views` has them, and take the mean.

    Raises:
        RunError: the run cannot be used, or was trained with nothing that tells which views it knows.
    """

    def __init__(self, run: Run, *, device: str = "auto", tta: bool = False) -> None:
        prepare_processor()
        self.card: ModelCard = run.read_card()
        self.views = views_of(self.card.augment) if tta else PLAIN
        chosen = choose_device(device)
        self._networks = [_Calibrated(*member, chosen) for member in _members(run, self.card)]

    def of_cache(
        self,
        cache: PixelCache,
        image_ids: Sequence[str],
        *,
        batch_size: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of images whose pixels were cached by the model's recipe."""
        return self._probabilities(cache.pixels, cache.positions(image_ids), batch_size, advance)

    def of_pixels(self, pixels: Pixels) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of (N, H, W, C) pixels made by the model's recipe."""
        return self._probabilities(pixels, np.arange(len(pixels)), max(1, len(pixels)), lambda _: None)

    def _probabilities(
        self,
        pixels: Pixels,
        positions: NDArray[np.int64],
        batch_size: int,
        advance: Callable[[int], None],
    ) -> NDArray[np.float64]:
        targets = np.zeros(len(positions), dtype=np.int64)
        parts = []
        with torch.inference_mode():
            for batch in PixelBatches(pixels, positions, targets, batch_size).in_order():
                parts.append(self._mean(batch))
                advance(len(batch))
        return np.concatenate(parts)

    def _mean(self, batch: Batch) -> NDArray[np.float64]:
        """Return the mean (B, C) over all networks and views."""
        seen = (view(batch.inputs) for view in self.views)
        answers = [network(images) for images in seen for network in self._networks]
        mean: NDArray[np.float64] = np.mean(answers, axis=0)
        return mean


@dataclass
class _Calibrated:
    """One network, from pixels to probabilities."""

    run: Run
    card: ModelCard
    device: torch.device

    def __post_init__(self) -> None:
        self._network: nn.Module = load_network(self.run, self.card, self.device)
        self._normaliser = Normaliser(self.card.normalisation, self.device)

    def __call__(self, images: Tensor) -> NDArray[np.float64]:
        logits = self._network(self._normaliser(images)).double().cpu().numpy()
        return probabilities_from(logits / self.card.temperature, self.card.answers)


def _members(run: Run, card: ModelCard) -> list[tuple[Run, ModelCard]]:
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
