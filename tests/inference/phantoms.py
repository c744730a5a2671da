"""A model of the demo's chest phantoms, with everything that tells what its answers are worth."""

from pathlib import Path

import numpy as np
import sklearn
from PIL import Image

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import members_of, quick_predictor
from medimg_cli.runs.run import Run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


def train_on_phantoms(folder: Path) -> Workspace:
    """Write a cohort of 64 patients and train one epoch on it, at 48 pixels."""
    assert medimg(folder, "demo", str(folder / "raw"), "--patients", "64") == 0
    assert medimg(folder, "ingest", str(folder / "raw")) == 0
    assert medimg(folder, "preprocess", "--size", "48") == 0
    assert medimg(folder, "train", "--epochs", "1", "--name", "first") == 0
    return Workspace(folder)


def judge_of(run: Run) -> Classifier:
    """Return the model of a run as predict and serve open it."""
    predictor = quick_predictor(run)
    assert predictor is not None
    return Classifier(predictor, references_of(members_of(run, predictor.card)))


def held_out(workspace: Workspace, judge: Classifier) -> list[DecodedImage]:
    paths = read_dataset(workspace).of_split("test")["path"]
    return [read_image(str(workspace.root / path), judge.card.recipe.read_options) for path in paths]


def photograph(name: str) -> DecodedImage:
    """Return a photograph that scikit-learn ships: `china.jpg` or `flower.jpg`."""
    folder = Path(str(sklearn.__file__)).parent / "datasets" / "images"
    return DecodedImage(np.asarray(Image.open(folder / name)), 8)


def grey(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> DecodedImage:
    return DecodedImage(pixels.clip(0, 255).astype(np.uint8)[..., None], 8)


def inverted(image: DecodedImage) -> DecodedImage:
    return DecodedImage(255 - image.as_uint8(), 8)
