"""Out-of-fold predictions of an ensemble: what is known of train and val from networks that did not learn them."""

import pandas as pd

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import RunError, UsageError
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import decided_table, read_predictions
from medimg_cli.runs.run import ModelCard, Run


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
    path = run.predictions_path("val")
    table = read_predictions(path)
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
