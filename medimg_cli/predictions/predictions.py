"""Predictions on disk: one row per input, also for what could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.manifest import EXAM, Dataset
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.prediction import PROBABILITY_PREFIX as PROBABILITY_PREFIX
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.tables import csv_sha256, keep_table, read_table, table_sha256


def predictions_of(
    dataset: Dataset, rows: pd.DataFrame, probabilities: NDArray[np.float64], point: OperatingPoint
) -> pd.DataFrame:
    """Return the predictions table of images of a data set, whatever its kind of labels.

    `y_pred` is the class that the decision calls, of several labels those that reach their own threshold, joined: the
    confusion matrix is counted from y_true and y_pred. `decision` says positive or negative at the threshold of the
    disease, "" without one. `confidence` is the probability of `y_pred`, of several labels the highest. Of several
    labels `y_true_<class>` holds 1, 0, or nothing where nobody judged it.

    Args:
        rows: rows of its manifest, N: image_id, path, patient_id, split, label, and exam_id where there are exams.
        probabilities: (N, C).
    """
    labels = dataset.labels
    table = pd.DataFrame(
        {
            name: rows[name].to_numpy()
            for name in ("image_id", "path", "patient_id", "split", EXAM)
            if name in rows
        }
        | {"y_true": rows["label"].to_numpy(), "y_pred": "", "confidence": 0.0, "decision": ""}
        | dict.fromkeys(("status", "flags", "message"), "")
    ).assign(status="ok")
    for index, name in enumerate(labels.classes):
        table[PROBABILITY_PREFIX + name] = probabilities[:, index]
    if labels.several:
        table = table.assign(**truth_columns(dataset.targets(rows).astype(np.float32), labels.classes))
    return decided_table(table, labels, point)


def decided_table(table: pd.DataFrame, labels: LabelSpace, point: OperatingPoint) -> pd.DataFrame:
    """Return a predictions table with `y_pred`, `confidence` and `decision` at other thresholds."""
    probabilities = probabilities_of(table)
    decided = decide(probabilities, labels, point.threshold, point.thresholds)
    confidence = (
        probabilities.max(axis=1, initial=0.0)
        if labels.several
        else (probabilities * decided.calls).sum(axis=1)
    )
    return table.assign(y_pred=decided.names, confidence=confidence, decision=decided.decisions)


def write_predictions(path: Path, table: pd.DataFrame) -> Path:
    """Write a predictions table atomically, and return where, see `keep_table`; probabilities keep every digit."""
    return keep_table(path, table)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table with `y_true` and `prob_<class>` columns, of medimg or any other software.

    Raises:
        DataError: a column is missing, or a probability is not a number in 0..1.
    """
    table = read_table(path, required=("y_true",))
    columns = [column for column in table.columns if column.startswith(PROBABILITY_PREFIX)]
    several = any(column.startswith(TRUTH_PREFIX) for column in table.columns)
    if len(columns) < (1 if several else 2):
        raise DataError(f"{path} lacks prob_<class> columns", "one column per class, at least two")
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = ~numbers.between(0.0, 1.0)
        if bad.any():
            row = int(np.argmax(bad.to_numpy()))
            raise DataError(
                f"{path} row {row + 2}: {column} is {table[column].iloc[row]!r}",
                "probabilities are numbers between 0 and 1",
            )
        table[column] = numbers
    return table


def digest_of(table: pd.DataFrame) -> str:
    """Return a hash of everything that a table as `read_predictions` returned it holds but what thresholds decide."""
    return csv_sha256(table.drop(columns=["y_pred", "confidence", "decision"], errors="ignore"))


def read_tuning(run: Run, card: ModelCard) -> pd.DataFrame:
    """Return the predictions that a run's thresholds were chosen on.

    Raises:
        RunError: they are not those that the model card was written with.
        DataError: as of `read_predictions`.
    """
    table = read_predictions(run.tuning_path)
    if card.tuning_sha256 not in (None, digest_of(table)):
        raise RunError(
            f"{run.tuning_path} is not as medimg wrote it: damaged, or edited by hand",
            "restore the file, or train again",
        )
    return table


def classes_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the class names in the order of their probability columns."""
    prefix = PROBABILITY_PREFIX
    return tuple(column.removeprefix(prefix) for column in table.columns if column.startswith(prefix))


def probabilities_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the probabilities (N, C)."""
    return table[[PROBABILITY_PREFIX + name for name in classes_of(table)]].to_numpy(dtype=np.float64)


TRUTH_PREFIX = "y_true_"


def truth_columns(marks: NDArray[np.float32], classes: Sequence[str]) -> dict[str, list[str]]:
    """Return `y_true_<class>` → cells "1", "0", or "" for unknown, of marks (N, C)."""
    texts = np.where(np.isnan(marks), "", np.where(marks == 1, "1", "0"))
    return {TRUTH_PREFIX + name: texts[:, index].tolist() for index, name in enumerate(classes)}


def marks_of(table: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float32]:
    """Return the marks (N, C) of a table's `y_true_<class>` columns: 1, 0, and NaN for an empty cell.

    Raises:
        DataError: a column is missing, or holds something else.
    """
    marks = np.zeros((len(table), len(classes)), dtype=np.float32)
    for index, name in enumerate(classes):
        column = TRUTH_PREFIX + name
        if column not in table:
            raise DataError(f"the predictions lack the column '{column}'", "one column for each prob_<class>")
        bad = next((cell for cell in table[column] if str(cell) not in ("", "0", "1")), None)
        if bad is not None:
            raise DataError(f"{column} holds {bad!r}", "1 = there, 0 = not there, empty = unknown")
        marks[:, index] = [np.nan if str(cell) == "" else float(cell) for cell in table[column]]
    return marks


@dataclass(frozen=True)
class Recorded:
    """What an evaluation is of.

    Args:
        run, split: names to record.
        dataset_hash, predictions_sha256, weights_sha256: of data set, predictions file and weights; "" without one.
        metadata_hash: of the manifest's further columns, likewise.
    """

    run: str
    split: str
    dataset_hash: str
    predictions_sha256: str
    weights_sha256: str
    metadata_hash: str = ""


def keep_predictions(
    run: Run, card: ModelCard, dataset: Dataset, split: str, table: pd.DataFrame, *, place: Run | None = None
) -> Recorded:
    """Write a run's predictions of a split, or of another data set, and return what they are of.

    Args:
        place: the folder they go into instead of the run's own.
    """
    path = (place or run).predictions_path(split)
    if path == run.tuning_path:  # the card knows them; killed in between, it knows none
        run.write_card(run.read_card().model_copy(update={"tuning_sha256": None}))
        path = write_predictions(path, table)
        known = digest_of(read_predictions(path))
        run.write_card(run.read_card().model_copy(update={"tuning_sha256": known}))
    else:
        path = write_predictions(path, table)
    return Recorded(
        run=run.name,
        split=split,
        dataset_hash=dataset.content_hash(),
        predictions_sha256=table_sha256(path),
        weights_sha256=card.weights_sha256,
        metadata_hash=dataset.metadata_hash(),
    )


def is_held_out(card: ModelCard, split: str, *, tta: bool) -> bool:
    """Return whether a run answers a split by those of its networks that had not learnt from the image.

    Raises:
        UsageError: several views of an image are wanted, which its out-of-fold predictions were not made with.
    """
    if card.folds is None or split != "val":
        return False
    if tta:
        raise UsageError(
            "--tta cannot be had for out-of-fold predictions: they were made when the networks were trained",
            "leave it out, or evaluate on test",
        )
    return True


def held_out_predictions(run: Run, card: ModelCard, dataset: Dataset, point: OperatingPoint) -> pd.DataFrame:
    """Return an ensemble's out-of-fold predictions of train and val, decided by the thresholds in force.

    Raises:
        RunError: they are of other images.
        DataError: they cannot be read.
    """
    path, table = run.tuning_path, read_tuning(run, card)
    known = set(dataset.of_split("train", "val")["image_id"])
    if not known.issuperset(table["image_id"]):
        raise RunError(f"{path} holds images that are not in train or val", "run `medimg train` again")
    return decided_table(table, card.labels, point)


def how_answered(card: ModelCard, views: int, *, held_out: bool, alike: bool = False) -> tuple[str, ...]:
    """Return what a reader of an evaluation must know about how its answers came about.

    Args:
        views: of each image whose answers were averaged.
        alike: the threshold was chosen on such means too.
    """
    found = []
    if held_out:
        found.append(
            f"train and val, each image answered by networks that did not learn from it ({card.folds} folds); "
            "their epochs were chosen on these images, so the figures are a little too good"
        )
    if views > 1:
        chosen = card.threshold is not None or card.thresholds
        found.append(
            f"each answer is the mean over {views} views of the image"
            + (
                f"; the threshold was chosen {'on such means too' if alike else 'without them'}"
                if chosen
                else ""
            )
        )
    return tuple(found)
