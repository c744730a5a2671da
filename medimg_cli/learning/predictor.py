"""A trained model ready to answer: recipe, network, normalisation and threshold as one."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.core.cache import PixelCache
from medimg_cli.core.recipe import Pixels
from medimg_cli.core.run import ModelCard, Run
from medimg_cli.learning.checkpoint import load_network
from medimg_cli.learning.dataset import PixelBatches
from medimg_cli.learning.device import choose_device, prepare_processor
from medimg_cli.learning.normalise import Normaliser
from medimg_cli.learning.scoring import predict_logits, softmax


class Predictor:
    """Answers with probabilities; `evaluate` and `predict` share it, so that they cannot differ.

    Args:
        run: a folder with `model.json` and `model.safetensors`.
        device: "auto", "cpu", "cuda", "mps".

    Raises:
        RunError: the run cannot be used.
    """

    def __init__(self, run: Run, *, device: str = "auto") -> None:
        prepare_processor()
        self.card: ModelCard = run.read_card()
        self._device = choose_device(device)
        self._network = load_network(run, self.card, self._device)
        self._normaliser = Normaliser(self.card.normalisation, self._device)

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
        batches = PixelBatches(pixels, positions, targets, batch_size)
        return softmax(predict_logits(self._network, batches, self._normaliser, advance))
