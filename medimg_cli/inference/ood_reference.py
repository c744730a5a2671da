"""What a model's training images were like, read without torch and without pickle, and where an image stands to them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from medimg_cli.errors import RunError
from medimg_cli.inference import appearance_features as figures
from medimg_cli.inference.image_features import THUMBNAIL_PX, Measured
from medimg_cli.inference.ood_detectors import COLOUR, COLOUR_LIMIT, DETECTORS, Floats, Known
from medimg_cli.runs.ood_limits import Limits
from medimg_cli.runs.run import ModelCard, Run

_MOST_BYTES = 1 << 30
_HINT = "restore it, or train again: without it the model cannot tell images it does not know"


@dataclass(frozen=True)
class Reference:
    """One network's training images, and where its limits lie."""

    known: Known
    limits: Limits

    def unlikeness(self, measured: Measured, features: Floats) -> dict[str, float]:
        """Return detector → how unlike the training an image is; above 1 it is more so than the limit."""
        found = self.comparable(self.known.scores(measured, features))
        if self.limits.grey:
            found[COLOUR] = measured.colour / COLOUR_LIMIT
        return found

    def comparable(self, scores: dict[str, float]) -> dict[str, float]:
        """Return scores less the middle of validation, over its span, over the limit on the largest of them."""
        limits = self.limits
        return {
            name: (score - limits.middles[name]) / limits.spans[name] / limits.unlike
            for name, score in scores.items()
        }


@dataclass(frozen=True)
class References:
    """Those of all networks of a model, in the order of its members."""

    members: tuple[Reference, ...]

    def unlikeness(self, measured: Measured, features: Sequence[Floats]) -> dict[str, float]:
        """Return detector → how unlike the training an image is: the mean over the members.

        Args:
            features: of each member (D,); there may be more, of other views of the image, which are not asked.
        """
        if any(
            len(own) != member.known.features.shape[1]
            for member, own in zip(self.members, features, strict=False)
        ):
            raise RunError("the reference was written for another network: features differ in width", _HINT)
        found = [
            member.unlikeness(measured, own) for member, own in zip(self.members, features, strict=False)
        ]
        names = sorted(set.intersection(*(set(each) for each in found)))
        return {name: float(np.mean([each[name] for each in found])) for name in names}

    def most(self, says: Callable[[Reference], bool]) -> bool:
        """Return whether more than half of the members say so."""
        return 2 * sum(says(member) for member in self.members) > len(self.members)


def references_of(members: Sequence[tuple[Run, ModelCard]]) -> References | None:
    """Return the references of a model's networks, None where one was trained before there were any.

    Args:
        members: as `inference.members.members_of` returns them.

    Raises:
        RunError: one is missing, damaged, or not the one that training wrote.
    """
    if any(card.reference_sha256 is None or card.limits is None for _, card in members):
        return None
    return References(tuple(_read(run, card) for run, card in members))


def _read(run: Run, card: ModelCard) -> Reference:
    path = run.reference_path
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RunError(f"{path} has more than {_MOST_BYTES >> 20} MiB", _HINT)
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}", _HINT) from error
    if hashlib.sha256(content).hexdigest() != card.reference_sha256:
        raise RunError(f"{path} is not the reference this run wrote", _HINT)
    try:
        known = Known(**load(content))
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{path} holds no reference: {str(error).splitlines()[0]}", _HINT) from error
    assert card.limits is not None
    if not _fits(known, card):
        raise RunError(f"{path} does not fit the model card beside it", _HINT)
    return Reference(known, card.limits)


def _fits(known: Known, card: ModelCard) -> bool:
    """Return whether arrays and limits are those that this model's images ask for, and hold nothing but numbers."""
    assert card.limits is not None
    values = THUMBNAIL_PX**2 * card.recipe.channels
    names, axes = figures.names(card.recipe.channels), known.spreads.size
    shapes: dict[str, tuple[int, ...]] = {
        "mean": (values,),
        "axes": (axes, values),
        "spreads": (axes,),
        "rest": (1,),
        "figures": (len(names),),
        "whitening": (len(names), len(names)),
    }
    arrays = {field.name: getattr(known, field.name) for field in fields(known)}
    return (
        all(arrays[name].shape == shape for name, shape in shapes.items())
        and known.features.ndim == 2
        and len(known.features) > 0
        and all(array.dtype.kind == "f" and bool(np.isfinite(array).all()) for array in arrays.values())
        and set(DETECTORS) <= set(card.limits.middles) & set(card.limits.spans)
        and set(card.limits.quality) <= {*figures.BEST_HIGH, *figures.BEST_LOW}
    )
