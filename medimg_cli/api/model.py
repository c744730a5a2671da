"""A trained model in a program: `load_model(path).predict(images)`, images as paths, arrays or PIL images."""

import base64
import html
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from medimg_cli.api.prerequisites import heat_maps_of, opened_model
from medimg_cli.api.stages import Where, place_of
from medimg_cli.errors import DataError, RunError
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey
from medimg_cli.images.readers import image_paths, read_content, read_image
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.explaining import HeatMaps
from medimg_cli.predictions.inputs import list_inputs
from medimg_cli.predictions.prediction import Prediction, unreadable
from medimg_cli.runs.bundle import is_bundle
from medimg_cli.runs.run_folders import find_run

if TYPE_CHECKING:
    import pandas as pd

Given = str | Path | Image.Image | NDArray[Any]
_SHOWN = 20
_STATEMENT = "Decision support for research; not for diagnosis."


@dataclass(frozen=True)
class Answer(Prediction):
    """What a model says of one image.

    Args:
        path: of the image; "" of an array or a PIL image.
    """

    path: str = ""
    _drawn: Callable[[], Image.Image] | None = field(default=None, repr=False, compare=False)

    def heat_map(self) -> Image.Image:
        """Return the image beside the evidence for the class in it, with what the colours say.

        Raises:
            RunError: the model's heat maps failed their check and are withheld, or nothing was answered.
        """
        if self._drawn is None:
            raise RunError(
                f"there is no heat map: the answer is {self.status}", self.message or "look at the image"
            )
        return self._drawn()

    def _repr_html_(self) -> str:
        head = self.label if self.status == "ok" else f"{self.status}: {self.message}"
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{'' if value is None else f'{value:.3f}'}</td></tr>"
            for name, value in self.probabilities.items()
        )
        decision = f"<p>decision at the model's threshold: {self.decision}</p>" if self.decision else ""
        flags = f"<p>flags: {', '.join(self.flags)}</p>" if self.flags else ""
        try:
            picture = f'<img alt="heat map" style="max-width:100%" src="data:image/png;base64,{_png(self.heat_map())}">'
        except RunError as error:
            picture = f"<p>{html.escape(error.what)}</p>"
        return (
            f"<div><h4>{html.escape(str(head))}</h4><table>{rows}</table>{decision}{flags}{picture}"
            f"<p>{_STATEMENT}</p></div>"
        )


class Answers(tuple[Answer, ...]):
    """The answers to several images, in their order."""

    def to_frame(self) -> "pd.DataFrame":
        """Return one row an image, with the columns of `medimg predict --json`, `prob_<class>` for probabilities."""
        import pandas as pd

        rows = []
        for answer in self:
            row = answer.entry(answer.path)
            row |= {f"prob_{name}": value for name, value in row.pop("probabilities").items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        more = f"<p>… and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return "".join(answer._repr_html_() for answer in self[:_SHOWN]) + more


class Model:
    """A trained model in memory, by ONNX Runtime where it has ONNX copies; torch is loaded only where it has none.

    Args:
        place: a run's folder, or the zip of `bundle`.

    Attributes:
        classes: in the order of the probabilities.
        remark: what the model cannot tell of an image, "" where it can tell all there is.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._classifier: Classifier = opened_model(place).classifier
        self.classes: tuple[str, ...] = self._classifier.card.classes
        self.remark = self._classifier.remark

    def __repr__(self) -> str:
        return f"<medimg model {self.place.name}: {self._classifier.card.arch}, {', '.join(self.classes)}>"

    def predict(self, images: Given | Iterable[Given], *, batch_size: int = 32) -> Answers:
        """Return an answer for every image.

        Args:
            images: one or several: paths of files, folders or archives (each image in them, each frame of a file), PIL
                images, arrays (H, W) or (H, W, 1 or 3) of uint8 or uint16 that use the range of their type, black 0.
            batch_size: images the network sees at once; it changes no answer.

        Raises:
            DataError: an array has another shape or type. A file that cannot be read gets its answer, "unreadable".
        """
        one = isinstance(images, str | Path | Image.Image | np.ndarray)
        several: Iterable[Given] = [images] if one else images  # type: ignore[list-item, assignment]
        waiting = (each for given in several for each in self._decoded(given))
        answers: list[Answer] = []
        while batch := list(islice(waiting, batch_size)):
            prepared = [
                self._classifier.prepare(image) for _, image in batch if isinstance(image, DecodedImage)
            ]
            found = iter(self._classifier(prepared))
            for path, image in batch:
                if isinstance(image, DecodedImage):
                    answers.append(self._answer(path, image, next(found)))
                else:
                    answers.append(self._answer(path, None, unreadable(self.classes, image)))
        return Answers(answers)

    def _decoded(self, given: Given) -> Iterator[tuple[str, DecodedImage | str]]:
        """Yield (path, image) of everything in what was given; instead of an image why it cannot be read."""
        options = self._classifier.card.recipe.read_options
        if isinstance(given, np.ndarray):
            yield "", of_array(given)
        elif isinstance(given, Image.Image):
            yield "", of_picture(given, options)
        else:
            for file in list_inputs([given]):
                for path in (file.path,) if file.fault else image_paths(file.path):
                    try:
                        yield path, file.fault or read_image(path, options)
                    except UnreadableImage as error:
                        yield path, str(error)

    def _answer(self, path: str, image: DecodedImage | None, prediction: Prediction) -> Answer:
        known = {each.name: getattr(prediction, each.name) for each in fields(Prediction)}

        def drawn() -> Image.Image:
            return self._heat_maps(image).of(path, prediction)

        return Answer(**known, path=path, _drawn=drawn if prediction.status == "ok" else None)

    def _heat_maps(self, image: DecodedImage | None) -> HeatMaps:
        predictor, explanation = heat_maps_of(self.place)
        if not explanation.passed:
            raise RunError(explanation.in_words(), "look at the image itself")

        def read(named: str, options: ReadOptions) -> DecodedImage:
            return image if image is not None and not named else read_image(named, options)

        return HeatMaps(Path(), predictor, explanation, read=read)


def load_model(path: str | Path | None = None, workspace: Where = None) -> Model:
    """Return a trained model, ready to answer.

    Args:
        path: a run's folder, the zip of `bundle`, or the name of a run in the workspace; None for its newest.
        workspace: where a name is looked up.

    Raises:
        RunError: there is none, or it cannot be used.
    """
    if path is not None and is_bundle(Path(path)):
        return Model(Path(path))
    return Model(find_run(place_of(workspace), None if path is None else str(path)).folder)


def of_array(pixels: NDArray[Any]) -> DecodedImage:
    """Return an array as an image.

    Raises:
        DataError: it is not (H, W) or (H, W, 1 or 3) of uint8 or uint16.
    """
    shaped = pixels[..., None] if pixels.ndim == 2 else pixels
    if (
        shaped.ndim != 3
        or shaped.shape[2] not in (1, 3)
        or pixels.dtype not in (np.uint8, np.uint16)
        or not pixels.size
    ):
        raise DataError(
            f"an array {pixels.shape} of {pixels.dtype} is no image",
            "give (H, W) or (H, W, 3) of uint8 or uint16 that uses the range of its type, one array an image",
        )
    if shaped.dtype == np.uint8:
        return DecodedImage(collapse_grey(np.ascontiguousarray(shaped)), 8)
    grey = shaped.shape[2] == 3 and bool((shaped[..., :1] == shaped).all())
    return DecodedImage(np.ascontiguousarray(shaped[..., :1] if grey else shaped), 16)


def of_picture(picture: Image.Image, options: ReadOptions) -> DecodedImage | str:
    """Return a PIL image as the readers would read it from a file; why not, where they cannot."""
    stream = BytesIO()
    upright = ImageOps.exif_transpose(picture)
    upright.save(stream, "PNG" if upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF")
    stream.seek(0)
    try:
        return read_content(stream, "image", None, options)
    except UnreadableImage as error:
        return str(error)


def _png(picture: Image.Image) -> str:
    stream = BytesIO()
    picture.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def predict(
    images: Given | Iterable[Given],
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    batch_size: int = 32,
) -> Answers:
    """Return a model's answers to images, see `Model.predict`; `run` as of `load_model`."""
    return load_model(run, workspace).predict(images, batch_size=batch_size)
