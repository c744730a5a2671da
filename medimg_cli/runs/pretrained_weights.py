"""Files of pre-trained weights, told by their names alone."""

import os
from collections.abc import Iterable
from pathlib import Path

# What `auto` looks for, in this order: common networks that are cheap enough for every image of a set.
PREFERRED = (
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet18",
    "efficientnet_b0",
    "resnet50",
    "densenet121",
    "squeezenet1_1",
)
_SUFFIXES = (".pth", ".safetensors")


def checkpoints_folder() -> Path:
    """Return where torch.hub keeps fetched weights: under TORCH_HOME, XDG_CACHE_HOME or the home folder.

    Worked out here because importing torch only to learn of an empty folder takes seconds.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")  # noqa: PTH118 -- "~" is expanded next
    return Path(home).expanduser() / "hub" / "checkpoints"


def weights_at_hand(folder: Path) -> Path | None:
    """Return the file in `folder` of the most preferred architecture; None where there is none."""
    try:
        files = sorted(folder.iterdir(), reverse=True)
    except OSError:  # there is none, or it is somebody else's
        return None
    found: dict[str, Path] = {}
    for path in files:
        name = architecture_of(path.name, PREFERRED)
        if name is not None and path.suffix in _SUFFIXES:
            found[name] = path
    return next((found[name] for name in PREFERRED if name in found), None)


def weights_of(folder: Path, name: str) -> Path | None:
    """Return the file, or folder, of weights in `folder` whose name begins with the network's; None for none."""
    fitting = [
        path
        for path in sorted(folder.iterdir())
        if architecture_of(path.name, [name]) and (path.is_dir() or path.suffix in _SUFFIXES)
    ]
    return fitting[0] if fitting else None


def architecture_of(file_name: str, known: Iterable[str]) -> str | None:
    """Return the longest of `known` that the file's name begins with, as a word; None for none.

    >>> architecture_of("resnet18-f37072fd.pth", ["resnet18", "resnet1"])
    'resnet18'
    """
    fitting = [
        name
        for name in known
        if file_name.startswith(name) and not file_name[len(name) : len(name) + 1].isalnum()
    ]
    return max(fitting, key=len, default=None)
