"""A model on disk: weights as safetensors, everything else as JSON; no pickle, no code."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medimg_cli.core.files import atomic_path, sha256_of_file
from medimg_cli.core.run import ModelCard, Run
from medimg_cli.errors import RunError
from medimg_cli.learning.device import on_device
from medimg_cli.learning.networks import build_network


def save_weights(run: Run, state: dict[str, Tensor]) -> str:
    """Write a network's state atomically and return the file's SHA-256."""
    with atomic_path(run.weights_path) as temporary:
        save_file({key: value.contiguous().cpu() for key, value in state.items()}, temporary)
    return sha256_of_file(run.weights_path)


def load_network(run: Run, card: ModelCard, device: torch.device) -> nn.Module:
    """Return the trained network of a run on `device`, in evaluation mode.

    Raises:
        RunError: the weights are missing, changed since training, or do not fit the architecture.
    """
    try:
        if sha256_of_file(run.weights_path) != card.weights_sha256:
            raise RunError(f"{run.weights_path} is not the file this run wrote", "restore it, or train again")
        state = load_file(run.weights_path, device=str(device))
        network = build_network(
            card.arch, classes=len(card.classes), channels=card.recipe.channels, size_px=card.recipe.size_px
        )
        network.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise RunError(f"{run.weights_path} cannot be used: {first}", "restore it, or train again") from error
    return on_device(network, device).eval()
