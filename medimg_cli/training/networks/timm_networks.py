"""timm's networks, called `timm/NAME`: built offline, with the images and the normalisation their weights were trained with."""

import fnmatch
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from medimg_cli.errors import DataError, MachineError, RunError, UsageError
from medimg_cli.preprocessing.recipe import Interpolation
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.files import read_json

PREFIX = "timm/"
CONFIG = "config.json"
"""What timm and the Hugging Face Hub write beside weights: architecture and `pretrained_cfg`."""
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def is_timm(name: str) -> bool:
    return name.startswith(PREFIX)


def timm() -> ModuleType:
    """Return timm, kept from the network.

    Raises:
        MachineError: it is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    # timm imports torchvision, which beside a CPU-only torch needs this file to be imported first.
    from medimg_cli.training.networks import torchvision_door  # noqa: F401

    try:
        import timm as module
    except ImportError as error:
        raise MachineError("--arch timm/… needs timm", "pip install 'medimg[timm]'") from error
    found: ModuleType = module
    return found


def timm_names(pattern: str = "*") -> list[str]:
    """Return the names of timm's networks that match a shell pattern, each as `--arch` takes it."""
    return [PREFIX + name for name in timm().list_models() if fnmatch.fnmatch(name, pattern)]


def config_of(name: str, weights: str = "none") -> dict[str, Any]:
    """Return what a network's weights were trained with: `input_size`, `mean`, `std`, `interpolation`, `license` …

    A `config.json` beside the weights counts before timm's own.

    Raises:
        UsageError: timm knows no such network; the hint proposes the closest name.
        RunError: the folder of weights has a `config.json` that cannot be read.
    """
    module, bare = timm(), name.removeprefix(PREFIX)
    if not module.is_model(bare):
        raise UsageError(
            f"unknown architecture '{name}'",
            did_you_mean(name, [PREFIX + each for each in module.list_models()]),
        )
    known = module.get_pretrained_cfg(bare, allow_unregistered=True)
    usual = known.to_dict() if known is not None else {}
    given = beside(Path(weights)).get("pretrained_cfg", {}) if weights not in ("none", "imagenet") else {}
    return {**usual, **(given if isinstance(given, dict) else {})}


def beside(weights: Path) -> dict[str, Any]:
    """Return the `config.json` of a folder of weights, or beside a file of them; empty where there is none."""
    path = (weights if weights.is_dir() else weights.parent) / CONFIG
    if not path.is_file():
        return {}
    try:
        return dict(read_json(path))
    except (DataError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be read", "restore it, or delete it") from error


def named_beside(weights: Path) -> str | None:
    """Return the network that a folder's `config.json` names, as `--arch` takes it; None where it names none."""
    name = beside(weights).get("architecture") if weights.is_dir() else None
    return PREFIX + name if isinstance(name, str) else None


def file_in(weights: Path) -> Path:
    """Return the file of weights in a folder of timm or of the Hub; a file is itself.

    Raises:
        RunError: the folder holds no weights, or several files of them.
    """
    if not weights.is_dir():
        return weights
    named = [weights / name for name in _WEIGHT_FILES if (weights / name).is_file()]
    found = named or [
        path for path in weights.iterdir() if path.suffix in (".safetensors", ".bin", ".pth", ".pt")
    ]
    if not named and len(found) != 1:
        raise RunError(
            f"--weights {weights} holds {len(found)} files of weights",
            f"name one, such as {_WEIGHT_FILES[0]}",
        )
    return found[0]


def size_px_of(config: dict[str, Any]) -> int:
    return int(config.get("input_size", (3, 224, 224))[1])


def interpolation_of(config: dict[str, Any]) -> Interpolation:
    """Return how images were resized for the weights; what is neither cubic nor linear is taken as linear."""
    cubic = config.get("interpolation") == "bicubic"
    return "bicubic, antialiased" if cubic else "bilinear, antialiased"


def timm_network(name: str, classes: int, channels: int, size_px: int) -> nn.Module:
    """Return a fresh network of timm with a head of `classes`.

    Raises:
        UsageError: its head is no single linear layer, so that medimg cannot tell backbone from head.
    """
    options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    if config_of(name).get("fixed_input_size"):
        options["img_size"] = size_px
    network: nn.Module = timm().create_model(name.removeprefix(PREFIX), pretrained=False, **options)
    if not isinstance(network.get_classifier(), nn.Linear):  # type: ignore[operator]
        raise UsageError(
            f"{name}: its head is no single linear layer",
            "choose another --arch, without distillation for one",
        )
    return network


def fitted_to(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names and in the shapes of `network`: of other origins, or position codes of another size.

    Each of timm's files of networks knows how its own were published.
    """
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return dict(convert(state, network)) if convert is not None else state
