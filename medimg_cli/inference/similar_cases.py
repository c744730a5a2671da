"""The training images that are most like one: what a bundle carries only where whoever made it asked for that.

Likeness is the cosine between what the model's networks make of two images (their last features, centred on the mean of
the training images that are kept; of an ensemble the mean over its networks). It says what the network takes for alike,
which may be the device or the position rather than the disease.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from medimg_cli.errors import RunError
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.pictures import shrunk
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.ood_reference import of_length_one
from medimg_cli.preprocessing.recipe import Pixels, noise
from medimg_cli.workspace.plain_text import reason_of

FILE = "similar.safetensors"
SIDE_PX, MOST, SHOWN = 96, 1_000, 3
_LIMIT = 20_000
_AGAIN = "copy or download it again; `medimg bundle --similar-cases` writes it"


@dataclass(frozen=True)
class SimilarCase:
    """A training image that is like another one.

    Args:
        label: its reference standard; `a|b` of several labels.
        likeness: cosine of the features, −1..1.
        picture: 96 × 96 px at most, rows of text covered.
    """

    label: str
    likeness: float
    picture: Image.Image


@dataclass(frozen=True)
class SimilarCases:
    """Training images to compare with.

    Args:
        features: of each network (N, D), as it gives them.
        pictures: (N, 96, 96, 1 or 3), the image in the middle of black.
        labels: N.
    """

    features: tuple[NDArray[np.float32], ...]
    pictures: NDArray[np.uint8]
    labels: tuple[str, ...]

    def nearest(self, features: Sequence[NDArray[np.float32]]) -> list[SimilarCase]:
        """Return the three most alike of an image, whose features are (D,) of each network; the likest first."""
        likeness: NDArray[np.float64] = np.zeros(len(self.labels))
        for known, own in zip(self.features, features, strict=True):
            mean = known.mean(axis=0)
            likeness += of_length_one(known - mean) @ of_length_one((own - mean)[None])[0]
        likeness /= len(self.features)
        chosen = np.argsort(-likeness, kind="stable")[:SHOWN]
        return [
            SimilarCase(self.labels[place], float(likeness[place]), _drawn(self.pictures[place]))
            for place in chosen.tolist()
        ]

    def to_bytes(self) -> bytes:
        """Return the file that `similar_cases_of` reads."""
        arrays: dict[str, Any] = {f"features{place}": each for place, each in enumerate(self.features)}
        return save(arrays | {"pictures": self.pictures}, {"labels": json.dumps(self.labels)})


def gathered(
    classifier: Classifier, images: Iterable[tuple[DecodedImage, DecodedImage, str]]
) -> SimilarCases:
    """Return the cases of images, one at least: each as the recipe reads it, with its rows of text covered, and its label."""
    features, pictures, labels = [], [], []
    for image, shown, label in images:
        features.append(_features(classifier, classifier.card.recipe.apply(image)[None]))
        pictures.append(_squared(shown))
        labels.append(label)
    grey = all(picture.mode == "L" for picture in pictures)
    drawn = np.stack([np.asarray(each if grey else each.convert("RGB")) for each in pictures])
    by_network = tuple(np.stack(each) for each in zip(*features, strict=True))
    return SimilarCases(by_network, drawn[..., None] if grey else drawn, tuple(labels))


def similar_cases_of(folder: Path, classifier: Classifier) -> SimilarCases | None:
    """Return the cases that lie beside a model, None where it has none.

    Raises:
        RunError: the file is damaged, or of another model.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            labels = json.loads(file.metadata()["labels"])
            own = _features(classifier, noise(classifier.card.recipe, 1))
            features = tuple(file.get_tensor(f"features{place}") for place in range(len(own)))
            pictures = file.get_tensor("pictures")
    except (
        SafetensorError,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        struct.error,
    ) as error:
        raise RunError(f"{path} holds no similar cases: {reason_of(error)}", _AGAIN) from error
    count = len(labels) if isinstance(labels, list) else -1
    whole = 0 < count <= _LIMIT and all(isinstance(name, str) for name in labels)
    whole = whole and pictures.dtype == np.uint8 and pictures.shape[:3] == (count, SIDE_PX, SIDE_PX)
    whole = whole and pictures.ndim == 4 and pictures.shape[3] in (1, 3)
    whole = whole and [each.shape for each in features] == [(count, len(each)) for each in own]
    whole = whole and all(each.dtype == np.float32 and np.isfinite(each).all() for each in features)
    if not whole:
        raise RunError(f"{path} does not fit the model it lies beside", _AGAIN)
    return SimilarCases(features, pictures, tuple(labels))


def _features(classifier: Classifier, pixels: Pixels) -> list[NDArray[np.float32]]:
    """Return what each network makes of one image: (D,) each."""
    return [of_network[0] for of_network in classifier.predictor.answer(pixels).features]


def _squared(image: DecodedImage) -> Image.Image:
    small = shrunk(image, SIDE_PX)
    square = Image.new(small.mode, (SIDE_PX, SIDE_PX))
    square.paste(small, ((SIDE_PX - small.width) // 2, (SIDE_PX - small.height) // 2))
    return square


def _drawn(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
