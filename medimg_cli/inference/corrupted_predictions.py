"""A model's answers to disturbed images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medimg_cli.inference.predictor import Predictor
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.preprocessing.corruptions import DISTURBANCES, DisturbedAnswers
from medimg_cli.workspace.progress import Progress

MOST_IMAGES = 1_000


def answers_to_disturbed(
    predictor: Predictor,
    cache: PixelCache,
    image_ids: Sequence[str],
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    progress: Progress,
) -> DisturbedAnswers:
    """Return the answers to some images under every disturbance of `DISTURBANCES`.

    Args:
        cache: pixels made by the model's own recipe; they are disturbed as they stand there.
        image_ids: (N,), of the whole predictions table.
        rows: (M,), the images to disturb, places in `image_ids`.
        progress: notified of every image and disturbance.
    """
    chosen = [image_ids[row] for row in rows]
    positions = cache.positions(chosen)
    answers: list[list[NDArray[np.float64]]] = [[] for _ in DISTURBANCES]
    progress.start("disturb", len(chosen) * len(DISTURBANCES))
    try:
        for start in range(0, len(chosen), batch_size):
            ids = chosen[start : start + batch_size]
            pixels = cache.pixels[positions[start : start + batch_size]]
            for disturbance, found in zip(DISTURBANCES, answers, strict=True):
                found.append(predictor.of_pixels(disturbance(pixels, ids)))
                progress.advance(len(ids))
    finally:
        progress.finish()
    probabilities = np.stack([np.concatenate(found) for found in answers])
    return DisturbedAnswers(rows, probabilities, cache.recipe.in_words())
