"""Whose weights a training began with, and under which licence: told on, with the model, to whoever gets it."""

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from medimg_cli.workspace.files import sha256_of_file

_CARDS = ("README.md", "MODEL_CARD.md", "readme.md")
_LICENCE_KEYS = ("license_name", "license", "licence")
# Creative Commons' NC and ND, and what research licences say in their names.
_NON_COMMERCIAL = re.compile(
    r"(\bnc\b|non[- ]?commercial|research[- ]?(use[- ]?)?only|academic)", re.IGNORECASE
)
_NO_DERIVATIVES = re.compile(r"(\bnd\b|no[- ]?deriv)", re.IGNORECASE)


class WeightsOrigin(BaseModel):
    """What is known of the weights that a network started from.

    Args:
        source: the file's name, or "imagenet".
        sha256: of the file, None where torchvision fetched it.
        licence: as it was given or as its card says, None where nobody said.
        said_by: who says so: "--weights-licence", or the card's name.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    sha256: str | None = None
    licence: str | None = None
    said_by: str = ""

    @property
    def in_words(self) -> str:
        """Return one line for people."""
        said = f"licence {self.licence} (by {self.said_by})" if self.licence else "licence not stated"
        return f"{self.source}, {said}"

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
            said = yaml.safe_load(parts[1])
        except yaml.YAMLError:  # a card that is no front matter says nothing
            continue
        if isinstance(said, dict):
            found = next((said[key] for key in _LICENCE_KEYS if said.get(key)), None)
            if found is not None:
                return str(found), name
    return None, ""
