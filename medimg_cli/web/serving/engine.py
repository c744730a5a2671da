"""A model that answers uploads: bytes in memory in, predictions, pictures and heat maps out; no torch, no files."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from PIL import Image

from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.images.readers import count_content, read_content
from medimg_cli.inference.classifier import Classifier, Prepared
from medimg_cli.inference.explaining import label_of
from medimg_cli.inference.heatmap import evidence, overlay
from medimg_cli.inference.similar_cases import SimilarCase, SimilarCases
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.predictions.prediction import unreadable as unreadable_prediction
from medimg_cli.runs.explanation import Explanation
from medimg_cli.web.serving.uploads import Upload

_NO_MAPS = "The network's layers allow no heatmap without torch"
_NOT_CHECKED = "Nobody has checked that this model's heatmaps are of what it learnt"
_NO_SCALE = "Heatmaps are withheld: no validation image had any evidence to measure others by"
_UNLIKE = "The image is unlike all that the model learnt from"


class NoHeatmapError(Exception):
    """Raised where there is no heatmap to show; its text says why, one English sentence."""


class NoSimilarError(Exception):
    """Raised where no similar training image is to be shown; its text says why, one English sentence."""


class Engine(Protocol):
    """A model in use; every method is called in threads."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what `GET /api/model` says of the model."""

    def frames(self, upload: Upload) -> int:
        """Return how many frames or pages a file says it has; raises `UnreadableImage`."""

    def read(
        self, upload: Upload, member: str | None, window: tuple[float, float] | None = None
    ) -> DecodedImage:
        """Return an image whole, as it is shown, or with a window over the file's; raises `UnreadableImage`."""

    def prepare(self, upload: Upload, member: str | None) -> Any:
        """Return what classifying needs of an image; raises `UnreadableImage`."""

    def classify(self, prepared: Sequence[Any]) -> list[Prediction]:
        """Return a prediction each; what else is in the batch changes none."""

    def unreadable(self, reason: str) -> Prediction:
        """Return the prediction for an upload that is no image."""

    def heatmap(
        self, upload: Upload, member: str | None, label: str | None, shown: DecodedImage
    ) -> Image.Image:
        """Return the picture with what speaks for a class on it.

        Args:
            label: the class; None = the positive one, or where there is none the answered one.
            shown: the image as it is to be drawn.

        Raises:
            UnreadableImage: it is no image.
            NoHeatmapError: the model has none, none that can be trusted, or none for this image.
        """

    def similar(self, upload: Upload, member: str | None) -> list[SimilarCase]:
        """Return the training images most like an image.

        Raises:
            UnreadableImage: it is no image.
            NoSimilarError: the model carries none, or the image is unlike all of them.
        """

    def to_pdf(self, html: str) -> bytes:
        """Return a page as PDF; raises `MachineError` where this machine cannot."""


class UploadedEngine:
    """A model that answers uploads; the `Engine` of the upload page. Images are read as `predict` reads them.

    Args:
        classifier: the model.
        facts: what `GET /api/model` says.
        most_pixels: an image of more is refused by its header.
        explanation: what is known of its heatmaps; None = nobody has looked.
        similar: training images to compare with, None where none travels with the model.
        to_pdf: turns a page into a document.
    """

    def __init__(
        self,
        classifier: Classifier,
        facts: Mapping[str, Any],
        *,
        most_pixels: int,
        explanation: Explanation | None,
        similar: SimilarCases | None,
        to_pdf: Callable[[str], bytes],
    ) -> None:
        self._classifier = classifier
        self._card = classifier.card
        self._facts, self._most_pixels = facts, most_pixels
        self._explanation, self._similar = explanation, similar
        self._asking = threading.Lock()
        self.to_pdf = to_pdf

    @property
    def facts(self) -> Mapping[str, Any]:
        return self._facts

    def frames(self, upload: Upload) -> int:
        return count_content(upload.stream(), None)

    def read(
        self, upload: Upload, member: str | None, window: tuple[float, float] | None = None
    ) -> DecodedImage:
        return self._decoded(upload, member, ReadOptions(window=window))

    def prepare(self, upload: Upload, member: str | None) -> Prepared:
        return self._classifier.prepare(self._decoded(upload, member, self._card.recipe.read_options))

    def classify(self, prepared: Sequence[Prepared]) -> list[Prediction]:
        with self._asking:
            return self._classifier(prepared)

    def unreadable(self, reason: str) -> Prediction:
        return unreadable_prediction(self._card.classes, reason)

    def heatmap(
        self, upload: Upload, member: str | None, label: str | None, shown: DecodedImage
    ) -> Image.Image:
        known = self._explanation
        if known is None or not known.passed:
            raise NoHeatmapError(
                _NOT_CHECKED if known is None else f"Heatmaps are withheld: {known.withheld}"
            )
        if known.full is None:
            raise NoHeatmapError(_NO_SCALE)
        prepared = self.prepare(upload, member)
        with self._asking:
            text, maps = self._classifier.with_maps(prepared)
        if text.status != "ok":
            raise NoHeatmapError(_UNLIKE)
        if maps is None:
            raise NoHeatmapError(_NO_MAPS)
        heat = evidence(self._card, maps, label or label_of(self._card, text))
        return overlay(shown, self._card.recipe, heat, full=known.full)

    def similar(self, upload: Upload, member: str | None) -> list[SimilarCase]:
        if self._similar is None:
            raise NoSimilarError("No training image travels with this model")
        prepared = self.prepare(upload, member)
        with self._asking:
            answer = self._classifier.predictor.answer(prepared.pixels[None])
        features = [of_network[0] for of_network in answer.features]
        if self._classifier.prediction(prepared, answer.probabilities[0], features).status != "ok":
            raise NoSimilarError(_UNLIKE)
        return self._similar.nearest(features)

    def _decoded(self, upload: Upload, member: str | None, options: ReadOptions) -> DecodedImage:
        options = replace(options, most_pixels=self._most_pixels)
        return read_content(upload.stream(), "", member, options)
