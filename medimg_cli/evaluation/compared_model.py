"""Another model's answers to the images that are evaluated: a run's, or a table of any software."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.evaluation.analyses import Rival
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.evaluation import read_evaluation
from medimg_cli.predictions.operating_point import OperatingPoint, given_point
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX, TRUTH_PREFIX, classes_of, read_predictions
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.workspace.files import sha256_of_file, sha256_of_text
from medimg_cli.workspace.workspace import Workspace

_TABLE = ".csv"


@dataclass(frozen=True)
class RivalFile:
    """Where another model's answers stand.

    Args:
        name: of the run, or of the file.
        point: the thresholds of a run's evaluation; None of a table, which may tell its own.
    """

    name: str
    path: Path
    point: OperatingPoint | None

    def sha256(self) -> str:
        return sha256_of_file(self.path)


def find_rival(workspace: Workspace, named: str, split: str) -> RivalFile:
    """Return where the answers to compare with stand.

    Args:
        named: a run's name or folder, or a table of predictions (.csv).

    Raises:
        RunError: there is no such run, or it was not evaluated on the split.
        DataError: there is no such table.
    """
    if is_table(named):
        return find_table(named)
    run: Run = find_run(workspace, named)
    path, evaluation = run.predictions_path(split), read_evaluation(run, split)
    if evaluation is None or not path.is_file():
        raise RunError(
            f"run '{run.name}' has no answers to {split}",
            f"`medimg evaluate {run.name}` on the same images first",
        )
    return RivalFile(run.name, path, OperatingPoint(evaluation.threshold, evaluation.thresholds))


def find_table(named: str) -> RivalFile:
    """Return where a table of predictions stands.

    Raises:
        UsageError: it is no table but, by its name, a run.
        DataError: there is none.
    """
    if not is_table(named):
        raise UsageError(
            f"--compare {named} names a run, and a table is compared with a table",
            "name a CSV, such as the run's predictions-test.csv",
        )
    path = Path(named)
    if not path.is_file():
        raise DataError(f"--compare: {path} is not there", "name a run, or a table of predictions")
    return RivalFile(path.name, path, None)


def is_table(named: str) -> bool:
    """Return whether `--compare` names a table of predictions rather than a run."""
    return named.lower().endswith(_TABLE)


def read_rival(file: RivalFile, here: Answered) -> Rival:
    """Return the other answers in the order of the images of `here`.

    Raises:
        DataError: they are of other images, other classes, or another reference standard.
    """
    table = read_predictions(file.path)
    if set(classes_of(table)) != set(here.classes):
        raise DataError(
            f"{file.path} knows the classes {', '.join(sorted(classes_of(table)))}",
            f"the ones compared have to be {', '.join(here.classes)}",
        )
    if "split" in table and "split" in here.table:
        table = table[table["split"].isin(here.table["split"].unique())]
    own, other = _standard(here.table), _standard(table)
    if own != other:
        raise DataError(
            f"{file.path} cannot be compared: {_unlike(own, other)}", "both must answer the same images"
        )
    order = table.set_index(table["image_id"].astype(str)).loc[here.table["image_id"].astype(str).tolist()]
    columns = [PROBABILITY_PREFIX + name for name in here.classes]
    point, how = (file.point, "") if file.point is not None else _decided(order, here.labels)
    answered = Answered(
        here.table.assign(**{column: order[column].to_numpy() for column in columns}),
        here.labels,
        point,
        here.sampling,
    )
    return Rival(f"{file.name}{how}", answered, _hash(own), file.sha256())


def _decided(table: pd.DataFrame, labels: LabelSpace) -> tuple[OperatingPoint, str]:
    """Return how a table decides, and that in words: at the threshold its column `decision` was made with, if any."""
    if labels.several:
        return OperatingPoint(), " (labels called at 0.5)"
    undecided = OperatingPoint(), " (most probable class)"
    if labels.positive is None or "decision" not in table:
        return undecided
    columns = [PROBABILITY_PREFIX + name for name in labels.classes]
    score = labels.positive_score(table[columns].to_numpy(dtype=np.float64))
    called = (table["decision"] == "positive").to_numpy()
    if not (called | (table["decision"] == "negative").to_numpy()).all():
        return undecided
    least = score[called].min() if called.any() else np.nextafter(score.max(), np.inf)
    if (score[~called] >= least).any():
        return undecided
    return given_point(labels, float(least)), " (as it decided)"


def _standard(table: pd.DataFrame) -> dict[str, str]:
    """Return image id → reference standard, as one text.

    Raises:
        DataError: there is no column image_id, or an image stands there twice.
    """
    if "image_id" not in table:
        raise DataError(
            "the answers to compare have no column 'image_id'", "without it images cannot be paired"
        )
    columns = sorted(name for name in map(str, table) if name == "y_true" or name.startswith(TRUTH_PREFIX))
    rows = zip(*(table[name].astype(str) for name in ["image_id", *columns]), strict=True)
    standard = {row[0]: "\t".join(row[1:]) for row in rows}
    if len(standard) < len(table):
        raise DataError("the answers to compare name an image twice", "one row for each image")
    return standard


def _unlike(own: dict[str, str], other: dict[str, str]) -> str:
    shared = own.keys() & other.keys()
    differ = sum(own[name] != other[name] for name in shared)
    return (
        f"{len(own) - len(shared)} images only here, {len(other) - len(shared)} only there, "
        f"{differ} with another reference standard"
    )


def _hash(standard: dict[str, str]) -> str:
    return sha256_of_text("\n".join(f"{name}\t{truth}" for name, truth in sorted(standard.items())))
