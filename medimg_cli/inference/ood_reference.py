"""How unlike its training images a model finds an image, by four ways of looking: higher is more unlike.

A classifier's features alone miss what the network learnt to ignore, such as that a picture shows no chest at all, and
grey values alone miss what is not in them; so neither is asked alone. Read without torch and without pickle.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from medimg_cli.errors import RunError
from medimg_cli.inference.image_features import BEST_HIGH, BEST_LOW, THUMBNAIL_PX, Measured, figure_names
from medimg_cli.runs.ood_limits import Limits
from medimg_cli.runs.run import ModelCard, Run

Floats = NDArray[np.float32]

CONTENT, LAYOUT, TEXTURE, COLOUR = "content", "layout", "texture", "colour"
DETECTORS = (CONTENT, LAYOUT, TEXTURE)
"""Those whose limits are measured on validation; colour needs none where no training image has any."""
NEIGHBOURS = 5
COLOUR_LIMIT = 0.05
"""Of 0..1; JPEG leaves less than 0.01 on grey pictures that were saved as colour."""
_FAINTEST = 0.02


@dataclass(frozen=True)
class Known:
    """What one network's training images were like; the arrays of `reference.safetensors`.

    Args:
        features: (K, D) of some of them, of length 1.
        mean, axes: (P,) and (A, P): mean of the thumbnails, each made `even`, and the directions in which they differ most.
        spreads: (A,) standard deviation along each of them.
        rest: (1,) standard deviation of what they leave, per value.
        figures: (F,) their means.
        whitening: (F, F); figures less their means times it have about unit variance and no correlation.
    """

    features: Floats
    mean: Floats
    axes: Floats
    spreads: Floats
    rest: Floats
    figures: NDArray[np.float64]
    whitening: NDArray[np.float64]

    def scores(self, measured: Measured, features: Floats) -> dict[str, float]:
        """Return detector → score of one image with its features (D,)."""
        return {
            CONTENT: self.content(features),
            LAYOUT: self.layout(measured.thumbnail),
            TEXTURE: self.texture(measured.figures),
        }

    def content(self, features: Floats) -> float:
        """Return the mean distance (1 − cosine) to the nearest training images.

        Sun Y et al. Out-of-distribution detection with deep nearest neighbors. ICML 2022, PMLR 162:20827-20840.
        """
        distances = np.sort(1 - self.features @ of_length_one(features))
        return float(distances[:NEIGHBOURS].mean(dtype=np.float64))

    def layout(self, thumbnail: Floats) -> float:
        """Return how far a thumbnail (P,) lies out under the probabilistic principal components of the training's.

        The root of the mean squared deviation, each direction in its own standard deviations. Tipping ME, Bishop CM. J R
        Stat Soc B 1999;61:611-622.
        """
        centred = (even(thumbnail) - self.mean).astype(np.float64)
        along = self.axes.astype(np.float64) @ centred
        left = max(0.0, float(centred @ centred - along @ along))
        known = float(np.square(along / self.spreads).sum())
        return float(np.sqrt((known + left / float(self.rest[0]) ** 2) / len(centred)))

    def texture(self, figures: NDArray[np.float64]) -> float:
        """Return how far figures (F,) lie from the mean: Mahalanobis' distance over the root of F."""
        return float(np.sqrt(np.square((figures - self.figures) @ self.whitening).mean()))


def even(thumbnails: Floats) -> Floats:
    """Return thumbnails (P,) or (N, P) of mean 0 and about unit deviation each: exposure differs between machines."""
    centred = thumbnails - thumbnails.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True)) + _FAINTEST
    return np.asarray(centred / deviation, dtype=np.float32)


def of_length_one(features: Floats) -> Floats:
    """Return features (D,) or (N, D) over their length; of no length as they are."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), dtype=np.float32)


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
        members: as `inference.predictor.members_of` returns them.

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
    names, axes = figure_names(card.recipe.channels), known.spreads.size
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
        and set(card.limits.quality) <= {*BEST_HIGH, *BEST_LOW}
    )
