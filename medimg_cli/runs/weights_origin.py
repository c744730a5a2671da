"""Whose weights a training began with, and under which licence: passed on with the model."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel

from medimg_cli.workspace.files import sha256_of_file

_CARDS = ("README.md", "MODEL_CARD.md", "readme.md")
_LICENCE_KEYS = ("license_name", "license", "licence")
# Creative Commons' NC and ND, and what research licences say in their names.
_NON_COMMERCIAL = re.compile(
    r"(\bnc\b|non[- ]?commercial|research[- ]?(use[- ]?)?only|academic)", re.IGNORECASE
)
_NO_DERIVATIVES = re.compile(r"(\bnd\b|no[- ]?deriv)", re.IGNORECASE)


class WeightsOrigin(BaseModel, frozen=True):
    """What is known of the weights that a network started from.

    Args:
        source: the file's name, or "imagenet".
        sha256: of the file, None where torchvision fetched it.
        licence: as it was given or as its card says, None where it is not stated.
        said_by: who says so: "--weights-licence", or the card's name.
    """

    source: str
    sha256: str | None = None
    licence: str | None = None
    said_by: str = ""

    @property
    def in_words(self) -> str:
        """Return one line for people."""
        licence = f"licence {self.licence} (by {self.said_by})" if self.licence else "licence not stated"
        return f"{self.source}, {licence}"

    @property
    def restriction(self) -> str:
        """Return what the licence forbids, in a sentence; "" where its name says nothing of the kind."""
        forbids = [
            what
            for what, pattern in (
                ("commercial use", _NON_COMMERCIAL),
                ("passing on what was derived", _NO_DERIVATIVES),
            )
            if self.licence and pattern.search(self.licence.replace("_", " "))
        ]
        if not forbids:
            return ""
        return f"the weights this model began with ({self.source}) are licensed {self.licence}: no {' and no '.join(forbids)}"


def origin_of(
    source: str, file: Path | None, given: str | None, config_licence: str | None = None
) -> WeightsOrigin:
    """Return the origin of weights.

    Args:
        source: as `--weights` was given.
        file: the file of weights, None for those that torchvision fetches.
        given: what `--weights-licence` says, None where it says nothing.
        config_licence: what a `config.json` beside them says.
    """
    if file is None:
        # torchvision's own weights, README of github.com/pytorch/vision: BSD-3-Clause code, trained on ImageNet.
        return WeightsOrigin(source=source, licence=given, said_by="--weights-licence" if given else "")
    licence, said_by = (given, "--weights-licence") if given else _of_card(file.parent)
    if licence is None and config_licence:
        licence, said_by = config_licence, "config.json"
    name = f"{Path(source).name}/{file.name}" if Path(source).is_dir() else file.name
    return WeightsOrigin(source=name, sha256=sha256_of_file(file), licence=licence, said_by=said_by)


def _of_card(folder: Path) -> tuple[str | None, str]:
    """Return the licence in the front matter of a card in `folder`, and the card's name."""
    for name in _CARDS:
        path = folder / name
        if not path.is_file():
            continue
        parts = path.read_text(encoding="utf-8", errors="replace").split("---", 2)
        if len(parts) < 3 or parts[0].strip():
            continue
        try:
            metadata = yaml.safe_load(parts[1])
        except yaml.YAMLError:  # a card that is no front matter says nothing
            continue
        if isinstance(metadata, dict):
            found = next((metadata[key] for key in _LICENCE_KEYS if metadata.get(key)), None)
            if found is not None:
                return str(found), name
    return None, ""


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
SUFFIXES = (".pth", ".safetensors")


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
        if name is not None and path.suffix in SUFFIXES:
            found[name] = path
    return next((found[name] for name in PREFERRED if name in found), None)


def weights_of(folder: Path, name: str) -> Path | None:
    """Return the file, or folder, of weights in `folder` whose name begins with the network's; None for none."""
    fitting = [
        path
        for path in sorted(folder.iterdir())
        if architecture_of(path.name, [name]) and (path.is_dir() or path.suffix in SUFFIXES)
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
