"""How unlike the training images an image is, by four ways of looking: each a score that is higher the more unlike.

A classifier's features alone miss what the network learnt to ignore, such as that a picture shows no chest at all, and
grey values alone miss what is not in them; so neither is asked alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.inference.image_features import Measured

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
