"""A model on disk: weights as safetensors, everything else as JSON; no pickle, no code.

The state of a training that is not over is torch's own file, read back as plain tensors and values only.
"""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medimg_cli.errors import MachineError, RunError
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.training.device import on_device
from medimg_cli.training.fitting.trainer import Snapshot
from medimg_cli.training.networks.networks import build_network
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.plain_text import reason_of


def save_weights(run: Run, state: dict[str, Tensor]) -> str:
    """Write a network's state atomically and return the file's SHA-256.

    Raises:
        MachineError: the disk is full.
    """
    with atomic_path(run.weights_path) as temporary, _writing(run.weights_path):
        save_file({key: value.contiguous().cpu() for key, value in state.items()}, temporary)
    return sha256_of_file(run.weights_path)


def save_state(run: Run, key: str, snapshot: Snapshot) -> None:
    """Write the state a training goes on from atomically; a half-written one never takes its place.

    Args:
        key: what network, data and plan the state belongs to.

    Raises:
        MachineError: the disk is full.
    """
    with atomic_path(run.state_path) as temporary, _writing(run.state_path):
        torch.save({"key": key, "state": snapshot}, temporary)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what torch and safetensors say of a file that cannot be written into what a user can act on."""
    try:
        yield
    except (RuntimeError, SafetensorError, OSError) as error:
        # The libraries say what their code stumbled over, and not why.
        reason = error.strerror if isinstance(error, OSError) else "the disk may be full"
        raise MachineError(
            f"cannot write {path}: {reason}",
            "free some disk space; epochs that were saved before are gone on with by `medimg train --resume`",
        ) from error


def load_state(run: Run, key: str) -> Snapshot:
    """Return the state `save_state` wrote.

    Raises:
        RunError: there is none, it is damaged, or it belongs to other data, settings or versions.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever torch thinks of a foreign file, it is refused below
            content = torch.load(run.state_path, map_location="cpu", weights_only=True)
        saved_key, state = content["key"], content["state"]
    except FileNotFoundError as error:
        raise RunError(
            f"run '{run.name}' has no saved state: {run.state_path} does not exist",
            "it is complete, or ended within its first epoch; train anew without --resume",
        ) from error
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise RunError(
            f"{run.state_path} cannot be read: it is no state that a training left",
            "train anew without --resume",
        ) from error
    if saved_key != key:
        raise RunError(
            f"run '{run.name}' was begun with other data, pixels or settings",
            "put them back as they were, or train anew without --resume",
        )
    snapshot: Snapshot = state
    return snapshot


def load_network(run: Run, card: ModelCard, device: torch.device) -> nn.Module:
    """Return the trained network of a run on `device`, in evaluation mode.

    Raises:
        RunError: the weights are missing, changed since training, or do not fit the architecture.
    """
    try:
        if sha256_of_file(run.weights_path) != card.weights_sha256:
            raise RunError(f"{run.weights_path} is not the file this run wrote", "restore it, or train again")
        state = load_file(run.weights_path, device=str(device))
        if any(value.is_floating_point() and not value.isfinite().all() for value in state.values()):
            raise RunError(
                f"{run.weights_path}: one of its weights is no number", "train again: this training diverged"
            )
        network = _built(run, card)
        versioned = OrderedDict(
            state
        )  # safetensors leaves out the layers' versions, and MNASNet asks for them
        versioned._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
        network.load_state_dict(versioned)
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise RunError(f"{run.weights_path} cannot be used: {first}", "restore it, or train again") from error
    return on_device(network, device).eval()


def _built(run: Run, card: ModelCard) -> nn.Module:
    """Return the network that a card describes, its weights fresh; a card may ask for one that there cannot be."""
    try:
        return build_network(
            card.arch,
            classes=len(card.classes),
            channels=card.recipe.channels,
            size_px=card.recipe.size_px,
            head=card.head,
            stem=card.stem,
        )
    except MachineError:
        raise
    except Exception as error:  # torch's and torchvision's own, of every kind
        raise RunError(
            f"{run.card_path} describes no network: {reason_of(error)}", "restore it, or train again"
        ) from error
