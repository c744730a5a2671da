"""What the application is given: a model that answers uploads, without a word on how."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from medimg_cli.images.image import DecodedImage
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.web.serving.uploads import Upload


class NoHeatmapError(Exception):
    """Raised where there is no heatmap to show; its text says why, one English sentence."""


class Engine(Protocol):
    """A model in use; every method is called in threads."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what `GET /api/model` says of the model."""
        ...

    def frames(self, upload: Upload) -> int:
        """Return how many frames or pages a file says it has; raises `UnreadableImage`."""
        ...

    def read(
        self, upload: Upload, member: str | None, window: tuple[float, float] | None = None
    ) -> DecodedImage:
        """Return an image whole, as it is shown, or with a window over the file's; raises `UnreadableImage`."""
        ...

    def prepare(self, upload: Upload, member: str | None) -> Any:
        """Return what judging needs of an image; raises `UnreadableImage`."""
        ...

    def judge(self, prepared: Sequence[Any]) -> list[Prediction]:
        """Return a prediction each; what else is in the batch changes none."""
        ...

    def unreadable(self, reason: str) -> Prediction:
        """Return what is said of an upload that is no image."""
        ...

    def heatmap(
        self, upload: Upload, member: str | None, label: str | None, shown: DecodedImage
    ) -> Image.Image:
        """Return the picture with what speaks for a class on it.

        Args:
            label: None = the one that matters most.
            shown: the image as it is to be drawn.

        Raises:
            UnreadableImage: it is no image.
            NoHeatmapError: this model, or this image, has none.
        """
        ...

    def to_pdf(self, html: str) -> bytes:
        """Return a page as PDF; raises `MachineError` where this machine cannot."""
        ...
