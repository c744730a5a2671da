"""What an evaluation is of: run, split and the hashes of what was read."""

from dataclasses import dataclass

import pandas as pd

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.predictions.predictions import write_predictions
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.files import sha256_of_file


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
    write_predictions(path, table)
    return Recorded(
        run=run.name,
        split=split,
        dataset_hash=dataset.content_hash(),
        predictions_sha256=sha256_of_file(path),
        weights_sha256=card.weights_sha256,
        metadata_hash=dataset.metadata_hash(),
    )
