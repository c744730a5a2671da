"""Which engine answers for a trained model."""

import torch

from medimg_cli.inference.onnx_network import Network
from medimg_cli.inference.predictor import Predictor, members_of, quick_predictor
from medimg_cli.runs.run import Run
from medimg_cli.training.augmentation.views import views_of
from medimg_cli.training.device import choose_device, prepare_processor
from medimg_cli.training.networks.torch_network import TorchNetwork, ViewedNetwork


def predictor_of(run: Run, *, device: str = "auto", tta: bool = False, quick: bool = True) -> Predictor:
    """Return the model of a run: on a processor as its ONNX copies answer, where it has them, and else as torch does.

    Args:
        run: a folder with `model.json` and `model.safetensors`, or with the members of an ensemble.
        device: "auto", "cpu", "cuda", "mps".
        tta: ask about several views of each image, as `training.augmentation.views` has them, and take the mean.
        quick: whether ONNX copies may answer.

    Raises:
        RunError: the run cannot be used, or was trained with nothing that tells which views it knows.
    """
    chosen = choose_device(device)
    prepare_processor()
    plain = quick_predictor(run) if quick and chosen.type == "cpu" else None
    plain = plain or _in_torch(run, chosen)
    return in_views(plain) if tta else plain


def in_views(plain: Predictor) -> Predictor:
    """Return a model that is asked about several views of each image, the plain one first; errors as of `predictor_of`."""
    views = views_of(plain.card.augment)
    networks: list[Network] = [ViewedNetwork(network, view) for view in views for network in plain.networks]
    own = plain.card.over_views
    kept = {} if own is None else {"threshold": own.threshold, "thresholds": own.thresholds}
    return Predictor(plain.card.model_copy(update=kept), networks)


def _in_torch(run: Run, device: torch.device) -> Predictor:
    card = run.read_card()
    return Predictor(card, [TorchNetwork(*member, device) for member in members_of(run, card)])
