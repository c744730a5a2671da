"""Which architecture a file of weights belongs to."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from medimg_cli.errors import RunError
from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.networks.networks import architecture, file_state, torchvision_names
from medimg_cli.training.networks.timm_networks import named_beside

# Files of a backbone alone lack the head, those of other tasks have another one; a network in between has little.
_LEAST_SHARE = 0.5
_CLASSES = 2


@functools.cache
def architecture_of(path: Path) -> str:
    """Return the architecture most of whose parameters the file holds, by name and shape.

    Networks are laid out without memory. torchvision's RegNets cannot be, so they have to be named.

    Raises:
        RunError: the file cannot be read, or fits no network.
    """
    if (named := named_beside(path)) is not None:
        return named
    given = {key: tuple(value.shape) for key, value in file_state(path).items()}
    best, most = "", 0.0
    for name, own in _layouts():
        share = sum(own.get(key) == shape for key, shape in given.items()) / max(1, len(given))
        # Of two that hold all of the file the first stands: torchvision lists the plain one first.
        if share > most:
            best, most = name, share
        if most == 1.0:
            break
    if most < _LEAST_SHARE:
        raise RunError(f"--arch auto: {path} fits no network that medimg knows", "name its --arch")
    return best


def _layouts() -> Iterator[tuple[str, Mapping[str, tuple[int, ...]]]]:
    """Yield each network's name and the shapes of its parameters by name."""
    for name in [*ARCHITECTURES.names(), *torchvision_names()]:
        named = architecture(name)
        try:
            with torch.device("meta"):
                state = named.build(_CLASSES, 3, named.preferred_size_px).state_dict()
        except NotImplementedError:  # it computes with its own parameters while it is built
            continue
        yield name, {key: tuple(value.shape) for key, value in state.items()}
