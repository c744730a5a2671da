"""A model that nobody trained: it calls what is bright a SPOT, so that tests of prediction need no training."""

import hashlib

import numpy as np

from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.onnx_network import Seen
from medimg_cli.inference.predictor import Predictor
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation, Threshold

CLASSES = ("CLEAR", "SPOT")


def card(**changes: object) -> ModelCard:
    """Return its card; changes by the name of the field."""
    threshold = Threshold(value=0.4, rule="given", split="", achieved_recall=None, achieved_specificity=None)
    made = ModelCard(
        arch="made-up",
        classes=CLASSES,
        positive="SPOT",
        recipe=Recipe(size_px=8, channels=1),
        normalisation=Normalisation(mean=(0.5,), std=(0.5,)),
        threshold=threshold,
        fingerprint=Fingerprint(
            dataset_hash="", train_images=1, train_patients=1, val_images=1, class_counts={}
        ),
        weights_sha256=hashlib.sha256(b"").hexdigest(),
    )
    return made.model_copy(update=changes)


class MadeUpNetwork:
    """The logit of the last class is the mean brightness, in units of 40 levels from mid-grey; of the others 0."""

    def __init__(self, of: ModelCard) -> None:
        self.card = of
        self.asked: list[int] = []

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:  # noqa: ARG002
        self.asked.append(len(pixels))
        bright = pixels.astype(np.float64).mean(axis=(1, 2, 3))
        logits = np.zeros((len(pixels), len(self.card.classes)))
        logits[:, -1] = (bright - 128) / 40
        return Seen(logits, bright[:, None].astype(np.float32))


def judge(**changes: object) -> Classifier:
    """Return it, ready to answer."""
    made = card(**changes)
    return Classifier(Predictor(made, [MadeUpNetwork(made)]))
