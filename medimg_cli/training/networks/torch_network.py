"""One network as torch runs it: where there is no ONNX copy, on a graphics card, and for several views of an image."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg_cli.errors import RunError
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import Opened
from medimg_cli.inference.onnx_network import Network, Seen
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import Predictor, members_of, quick_predictor
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.explanation import read_explanation
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.runs.tested import tested_of, withheld_sets
from medimg_cli.training.augmentation.augment import View, views_of
from medimg_cli.training.batches import to_255
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.device import Normaliser, choose_device, prepare_processor
from medimg_cli.training.explanation.class_maps import Place, find_place, maps_of
from medimg_cli.training.networks.backbone import Tapped
from medimg_cli.workspace.plain_text import reason_of


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
        """Return what the network makes of (N, H, W, C) pixels made by the model's recipe.

        Raises:
            RunError: it cannot take images of the size that its card says.
        """
        inputs = self._normaliser(as_images(pixels))
        try:
            with torch.inference_mode():
                logits, features = self._network(inputs)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:  # a layer's own
            raise RunError(f"the network cannot be run: {reason_of(error)}", "train again") from error
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
        pixels = seen.numpy()
        return self._network(pixels)


def as_images(pixels: Pixels) -> Tensor:
    """Return (N, H, W, C) pixels as (N, C, H, W) in 0..255."""
    return torch.from_numpy(to_255(pixels)).permute(0, 3, 1, 2)


def predictor_of(run: Run, *, device: str = "auto", tta: bool = False, quick: bool = True) -> Predictor:
    """Return the model of a run: on a processor as its ONNX copies answer, where it has them, and else as torch does.

    Args:
        run: a folder with `model.json` and `model.safetensors`, or with the members of an ensemble.
        device: "auto", "cpu", "cuda", "mps".
        tta: ask about several views of each image, as `training.augmentation.augment` has them, and take the mean.
        quick: whether ONNX copies may answer.

    Raises:
        RunError: the run cannot be used, or was trained with nothing that tells which views it knows.
    """
    chosen = choose_device(device)
    prepare_processor()
    plain = quick_predictor(run) if quick and chosen.type == "cpu" else None
    if plain is None:
        card = run.read_card()
        plain = Predictor(card, [TorchNetwork(*member, chosen) for member in members_of(run, card)])
    return in_views(plain) if tta else plain


def in_views(plain: Predictor) -> Predictor:
    """Return a model that is asked about several views of each image, the plain one first; errors as of `predictor_of`."""
    views = views_of(plain.card.augment)
    networks: list[Network] = [ViewedNetwork(network, view) for view in views for network in plain.networks]
    own = plain.card.over_views
    kept = {} if own is None else {"threshold": own.threshold, "thresholds": own.thresholds}
    return Predictor(plain.card.model_copy(update=kept), networks)


def open_in_torch(place: Path) -> Opened:
    """Return the model of a run's folder, answering through torch.

    Raises:
        RunError: it cannot be used.
    """
    run = Run(place)
    predictor = predictor_of(run)
    return Opened(
        Classifier(
            predictor, references_of(members_of(run, predictor.card)), withheld_sets(run, predictor.card)
        ),
        explained=read_explanation(run, predictor.card),
        tested=tested_of(run, predictor.card),
    )
