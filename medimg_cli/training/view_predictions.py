"""Answers to validation over several views of each image, by whatever engine: no torch is loaded for them."""

import pandas as pd

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.inference.predictor import Answering
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import predictions_of
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import LOCAL, ModelCard, Run
from medimg_cli.workspace.operating_settings import EvaluateSettings


def val_over_views(
    run: Run,
    model: Answering,
    card: ModelCard,
    dataset: Dataset | None,
    cache: PixelCache | None,
    settings: EvaluateSettings,
) -> pd.DataFrame | None:
    """Return a predictions table of validation, None where there is none to be had.

    Args:
        model: that is asked about the views, as `settings` has it.
        dataset: that the model was trained on; None where it is not known.
        cache: holds the pixels of its validation images; None where they are not cached.

    Returns:
        None also of a model of folds, every network of which has learnt from images of train and val, and of one that was
        recalibrated on cases of another place.
    """
    if not settings.tta or dataset is None or cache is None:
        return None
    if card.folds is not None or run.predictions_path(LOCAL).is_file():
        return None
    rows = dataset.of_split("val")
    if rows.empty:
        return None
    positions = cache.positions(rows["image_id"].tolist())
    probabilities = model.opened().of_rows(cache.pixels, positions, batch_size=settings.batch_size)
    return predictions_of(dataset, rows, probabilities, OperatingPoint(card.threshold, card.thresholds))
