"""Heat maps of predictions: one file an image, as `predict --explain` writes them, or small ones for a page."""

import math
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.errors import MachineError
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.images.pictures import jpeg_data_uri
from medimg_cli.images.readers import read_image
from medimg_cli.inference.heatmap import Heat, evidence, gives_maps, overlay, panel
from medimg_cli.inference.load import open_model
from medimg_cli.inference.predictor import Predictor, quick_predictor
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.runs.explanation import Explanation, read_explanation
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.files import atomic_path

_MOST_STEM = 40
Read = Callable[[str, ReadOptions], DecodedImage]


class HeatMaps:
    """Writes a picture for every image that was answered: `00001-NAME.png` of the first row.

    Pictures hold pixels only, rows of signs in them are covered, and a name that looks like a person's or a number of
    one is masked.

    Args:
        folder: is made where it is missing.
        predictor: gives maps, see `heatmap.gives_maps`.
        explanation: of the same model; it has passed.

    Attributes:
        written: how many pictures.
    """

    def __init__(
        self, folder: Path, predictor: Predictor, explanation: Explanation, *, read: Read = read_image
    ) -> None:
        self._folder, self.predictor, self.explanation, self._read = folder, predictor, explanation, read
        self._rows = 0
        self.written = 0

    def tell(self, path: str, prediction: Prediction) -> None:
        """Take the next row; one that was refused or could not be read has its number, and no picture.

        Raises:
            MachineError: the picture cannot be written.
        """
        self._rows += 1
        if prediction.status != "ok":
            return
        try:
            picture = self.of(path, prediction)
        except UnreadableImage:
            return  # it was read a moment ago, and is gone
        buffer = BytesIO()
        picture.save(buffer, "PNG")
        target = self._folder / f"{self._rows:05d}-{safe_stem(path)}.png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as temporary:
                temporary.write_bytes(buffer.getvalue())
        except OSError as error:
            hint = "free some space, or name another folder"
            raise MachineError(f"cannot write {target}: {error.strerror}", hint) from error
        self.written += 1

    def of(self, path: str, prediction: Prediction) -> Image.Image:
        """Return the picture of one image; raises `UnreadableImage`."""
        card = self.predictor.card
        label = label_of(card, prediction)
        whole, heat = evidence_in(self.predictor, path, label, self._read)
        return panel(whole, card, prediction, heat, label, full=self.explanation.full or math.inf)


def evidence_in(predictor: Predictor, path: str, label: str, read: Read) -> tuple[DecodedImage, Heat]:
    """Return an image with its rows of signs covered, and the evidence for a class in it; raises `UnreadableImage`."""
    recipe = predictor.card.recipe
    pixels = recipe.apply(read(path, recipe.read_options))
    maps = predictor.answer(pixels[None].copy(), maps=True).maps
    assert maps is not None, "the predictor was asked before whether it gives maps"
    return covered(read(path, ReadOptions(window=recipe.window))), evidence(predictor.card, maps[0], label)


def ready_maps(place: Path) -> tuple[Predictor, Explanation] | None:
    """Return a model that gives class maps without torch, and what is known of them; None where torch is needed.

    Args:
        place: a run's folder, or the file of a bundle.

    Raises:
        RunError: it cannot be used.
    """
    opened = open_model(place)
    if opened is None or opened.explained is None:
        return None
    predictor, explanation = opened.classifier.predictor, opened.explained
    return (predictor, explanation) if not explanation.passed or gives_maps(predictor) else None


def label_of(card: ModelCard, prediction: Prediction | ExamAnswer) -> str:
    """Return the class whose evidence is shown: the positive one, else the one answered, of several the likeliest."""
    if card.positive is not None:
        return max(card.labels.positives, key=lambda name: prediction.probabilities[name] or 0.0)
    names = prediction.label.split(LABEL_SEP) if prediction.label else list(card.classes)
    return max(names, key=lambda name: prediction.probabilities[name] or 0.0)


def safe_stem(path: str) -> str:
    """Return what a file is called after an image: no folder, no suffix, nothing that looks like an identity.

    >>> safe_stem("ward/DOE_JANE_1980-02-03.dcm#frame/3"), safe_stem("a folder/scan 7.jpeg")
    ('xxx_xxxx_xxxx-xx-xx-frame-3', 'scan-7')
    """
    file, _, member = path.partition("#")
    name = mask_identities(PurePosixPath(file).name)
    stem = PurePosixPath(name).stem if "." in name.strip(".") else name
    whole = f"{stem}-{mask_identities(member)}" if member else stem
    return re.sub(r"[^\w.#-]+", "-", whole).replace("#", "x").strip("-.")[:_MOST_STEM] or "image"


_SIDE_PX = 280
_JPEG_QUALITY = 85


def known_of(folder: Path) -> Explanation | None:
    """Return what is known of a run's heat maps, None where nobody looked; raises `RunError`."""
    run = Run(folder)
    return read_explanation(run, run.read_card())


def case_pictures(folder: Path, known: Explanation) -> Callable[[str, str], str] | None:
    """Return what draws a run's heat maps, None where they are withheld or need torch; raises `RunError`.

    It takes the path of an image and the class to show the evidence for, returns the picture as a `data:` address and
    raises `UnreadableImage`.
    """
    predictor = quick_predictor(Run(folder)) if known.passed else None
    if predictor is None or not gives_maps(predictor):
        return None

    def draw(path: str, label: str) -> str:
        whole, heat = evidence_in(predictor, path, label, read_image)
        drawn = overlay(whole, predictor.card.recipe, heat, full=known.full or math.inf, max_px=_SIDE_PX)
        return jpeg_data_uri(drawn, _JPEG_QUALITY)

    return draw
