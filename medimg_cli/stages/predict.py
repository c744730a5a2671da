"""predict: files and folders → one row each, with class, probabilities and decision."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.files import to_jsonable, write_text
from medimg_cli.core.findings import called_labels, joined
from medimg_cli.core.image import UnreadableImage
from medimg_cli.core.pool import map_ordered
from medimg_cli.core.predictions import COLUMNS, PROBABILITY_PREFIX, decide, write_predictions
from medimg_cli.core.progress import Progress, SilentProgress, tracked
from medimg_cli.core.recipe import Pixels, Recipe
from medimg_cli.core.run import ModelCard, Run
from medimg_cli.core.settings import PredictSettings
from medimg_cli.errors import DataError, UsageError
from medimg_cli.learning.predictor import Predictor
from medimg_cli.readers import read_image

OK, UNREADABLE = "ok", "unreadable"


@dataclass(frozen=True)
class PredictResult:
    """What predicting gave.

    Args:
        table: one row per input in the given order, columns of `core.predictions` and prob_<class>.
        classes: names of the probabilities.
        unreadable: how many rows have no prediction; their message says why.
        card: the model that answered.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    unreadable: int
    card: ModelCard


def predict(
    run: Run,
    inputs: Sequence[Path],
    settings: PredictSettings,
    *,
    out: Path | None = None,
    progress: Progress = SilentProgress(),
) -> PredictResult:
    """Predict every file given, and every file below every folder given (hidden ones left out).

    Args:
        run: its model answers.
        inputs: files and folders; one that does not exist still gets its row.
        settings: batch size and decoding threads.
        out: also write the rows there; `.csv` or `.jsonl` by its suffix.
        progress: told of every file.

    Raises:
        UsageError: `out` has another suffix.
        DataError: there is nothing to predict.
        RunError: the run cannot be used.
    """
    if out is not None and out.suffix.lower() not in (".csv", ".jsonl"):
        raise UsageError(f"--out {out} is neither .csv nor .jsonl", "the suffix decides the format")
    paths = list(_files(inputs))
    if not paths:
        raise DataError(
            f"no file in {', '.join(map(str, inputs))}", "give image files, or folders that hold some"
        )
    predictor = Predictor(run, tta=settings.tta)
    rows: list[dict[str, object]] = []
    decoded = map_ordered(_Decoder(predictor.card.recipe), paths, workers=settings.workers)
    waiting: list[tuple[Path, Pixels | str]] = []
    for item in tracked(zip(paths, decoded, strict=True), progress, "predict", total=len(paths)):
        waiting.append(item)
        if len(waiting) == settings.batch_size:
            rows += _answer(predictor, waiting)
            waiting = []
    rows += _answer(predictor, waiting)
    table = pd.DataFrame(rows)
    if out is not None:
        _write(out, table)
    unreadable = int((table["status"] != OK).sum())
    return PredictResult(table, predictor.card.classes, unreadable, predictor.card)


def _files(inputs: Sequence[Path]) -> Iterator[Path]:
    for given in inputs:
        if not given.is_dir():
            yield given
            continue
        for path in sorted(given.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(given).parts)
            if path.is_file() and not hidden:
                yield path


class _Decoder:
    """Turns a path into the network's pixels, or the reason why not."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __call__(self, path: Path) -> Pixels | str:
        try:
            return self._recipe.apply(read_image(str(path), self._recipe.read_options))
        except UnreadableImage as error:
            return str(error)


def _answer(predictor: Predictor, decoded: Sequence[tuple[Path, Pixels | str]]) -> list[dict[str, object]]:
    readable = [pixels for _, pixels in decoded if not isinstance(pixels, str)]
    stacked: NDArray[Any] = np.asarray(readable)
    answers: Iterator[NDArray[np.float64]] = iter(predictor.of_pixels(stacked) if readable else ())
    return [
        _unreadable_row(path, pixels, predictor.card)
        if isinstance(pixels, str)
        else _row(path, next(answers), predictor.card)
        for path, pixels in decoded
    ]


def _row(path: Path, probabilities: NDArray[np.float64], card: ModelCard) -> dict[str, object]:
    best = int(probabilities.argmax())
    decision = ""
    if card.positive is not None and card.threshold is not None:
        decision = decide(float(probabilities[card.classes.index(card.positive)]), card.threshold.value)
    answer = card.classes[best]
    if card.answers == "sigmoid":
        answer = joined(called_labels(probabilities[None], card.classes, card.thresholds)[0], card.classes)
    known: dict[str, object] = {
        "y_pred": answer,
        "confidence": float(probabilities[best]),
        "decision": decision,
        "status": OK,
    }
    scores = {
        PROBABILITY_PREFIX + name: float(value)
        for name, value in zip(card.classes, probabilities, strict=True)
    }
    return _blank(path) | known | scores


def _unreadable_row(path: Path, reason: str, card: ModelCard) -> dict[str, object]:
    empty = {PROBABILITY_PREFIX + name: float("nan") for name in card.classes}
    return _blank(path) | {"confidence": float("nan"), "status": UNREADABLE, "message": reason} | empty


def _blank(path: Path) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(COLUMNS, "")
    return empty | {"image_id": path.as_posix(), "path": path.as_posix()}


def _write(out: Path, table: pd.DataFrame) -> None:
    if out.suffix.lower() == ".csv":
        write_predictions(out, table)
        return
    lines = [json.dumps(to_jsonable(row), ensure_ascii=False) for row in table.to_dict("records")]
    write_text(out, "".join(line + "\n" for line in lines))
