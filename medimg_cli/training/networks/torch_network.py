"""One network as torch runs it: where there is no ONNX copy, on a graphics card, and for several views of an image."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.inference.onnx_network import Network, Seen
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.training.augmentation.views import View
from medimg_cli.training.batches import to_255
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.explanation.evidence_maps import Place, find_place, maps_of
from medimg_cli.training.networks.feature_hooks import Tapped
from medimg_cli.training.normalise import Normaliser


class TorchNetwork:
    """A network in torch.

    Args:
        run: its folder, with the weights.
        card: its own.

    Raises:
        RunError: the weights are missing, changed since training, or do not fit the architecture.
    """

    def __init__(self, run: Run, card: ModelCard, device: torch.device) -> None:
        self._card = card
        self._network = Tapped(load_network(run, card, device))
        self._normaliser = Normaliser(card.normalisation, device)
        self._place: Place | None = None

    @property
    def card(self) -> ModelCard:
        return self._card

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:
        """Return what the network makes of (N, H, W, C) pixels made by the model's recipe."""
        inputs = self._normaliser(as_images(pixels))
        with torch.inference_mode():
            logits, features = self._network(inputs)
        found = self._maps(inputs) if maps else None
        return Seen(logits.double().cpu().numpy(), features.float().cpu().numpy(), found)

    def _maps(self, inputs: Tensor) -> NDArray[np.float32] | None:
        """Return (N, C, h, w), None where the network keeps no places; it is looked for once."""
        network = self._network.network
        self._place = self._place or find_place(network, inputs)
        if self._place is None:
            return None
        made: NDArray[np.float32] = maps_of(network, self._place, inputs)[1].float().cpu().numpy()
        return made


class ViewedNetwork:
    """A network asked about another view of each image."""

    def __init__(self, network: Network, view: View) -> None:
        self._network, self._view = network, view

    @property
    def card(self) -> ModelCard:
        return self._network.card

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:  # noqa: ARG002
        """Return what the network makes of the views; maps would lie elsewhere than the image, so there are none."""
        seen = self._view(as_images(pixels)).permute(0, 2, 3, 1).contiguous()
        return self._network(_as_pixels(seen))


def as_images(pixels: Pixels) -> Tensor:
    """Return (N, H, W, C) pixels as (N, C, H, W) in 0..255."""
    return torch.from_numpy(to_255(pixels)).permute(0, 3, 1, 2)


def _as_pixels(images: Tensor) -> Pixels:
    given: NDArray[np.uint8] = images.numpy()
    return given
