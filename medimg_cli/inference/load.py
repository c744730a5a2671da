"""A model from where it lies: a run's folder, or a bundle somebody made of one."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from medimg_cli.errors import DataError, RunError
from medimg_cli.inference.classifier import Judge
from medimg_cli.inference.ensemble_members import members_of
from medimg_cli.inference.ood_reference import references_of
from medimg_cli.inference.predictor import quick_predictor
from medimg_cli.runs.bundle import ABOUT, MODEL_CARD, About, is_bundle, unpacked
from medimg_cli.runs.explanation import Explanation, read_explanation
from medimg_cli.runs.run import Run
from medimg_cli.workspace.files import read_json

_SIZES_PX = (8, 4096)
"""What `preprocess` takes; a card of somebody else's could ask for an image that fills the memory."""


@dataclass(frozen=True)
class Opened:
    """A model in memory; the place it came from may go.

    Args:
        judge: answers.
        about: what people said of it; None of a run's folder, whose workspace knows.
        model_card: Markdown; None where there is none.
        explained: what is known of its heat maps; None where nobody has looked at them.
    """

    judge: Judge
    about: About | None = None
    model_card: str | None = None
    explained: Explanation | None = None


def open_judge(place: Path) -> Judge | None:
    """Return the model at `place`, ready to answer without torch; None where a network has no ONNX copy.

    Args:
        place: a run's folder, or the file of a bundle.

    Raises:
        RunError: it cannot be used; a bundle also where something in it is not what `medimg bundle` writes.
    """
    opened = open_model(place)
    return None if opened is None else opened.judge


def open_model(place: Path) -> Opened | None:
    """Return the model at `place` and what is told of it; arguments and errors as of `open_judge`."""
    if not is_bundle(place):
        return _opened(Run(place))
    with unpacked(place) as folder:
        opened = _opened(Run(folder))
        if opened is None:
            raise RunError(f"{place} lacks the ONNX copy of a network", "`medimg bundle` writes whole ones")
        return opened


def _opened(run: Run) -> Opened | None:
    card = run.read_card()
    low, high = _SIZES_PX
    if not low <= card.recipe.size_px <= high:
        raise RunError(
            f"{run.card_path}: recipe.size_px: {card.recipe.size_px} is not between {low} and {high}",
            "train again",
        )
    predictor = quick_predictor(run)
    if predictor is None:
        return None
    judge = Judge(predictor, references_of(members_of(run, card)))
    text = run.folder / MODEL_CARD
    return Opened(
        judge,
        about=_about(run.folder / ABOUT),
        model_card=text.read_text(encoding="utf-8", errors="replace") if text.is_file() else None,
        explained=read_explanation(run, card),
    )


def _about(path: Path) -> About | None:
    if not path.is_file():
        return None
    try:
        return About.model_validate(read_json(path))
    except (DataError, ValidationError) as error:
        raise RunError(f"{path} is not what `medimg bundle` writes", "bundle the run again") from error
