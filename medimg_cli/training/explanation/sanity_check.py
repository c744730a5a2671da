"""Whether a network's heat maps are of what it learnt: measured once, when training ends, and kept in `explain.json`.

A map that stays as it was when the weights are shuffled is of the image, or of the architecture, and not of the model:
it looks convincing and says nothing (Adebayo et al. 2018, arXiv:1810.03292). Such maps are withheld.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.errors import RunError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.heatmap import gives_maps
from medimg_cli.inference.predictor import Predictor, members_of, quick_predictor
from medimg_cli.preprocessing.corruptions import drawn_evenly
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.bundle import is_bundle
from medimg_cli.runs.explanation import Explanation, read_explanation
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.device import choose_device
from medimg_cli.training.explanation.collect import Look
from medimg_cli.training.predictor import predictor_of
from medimg_cli.workspace.files import write_json
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.tables import read_table
from medimg_cli.workspace.workspace import Workspace

MOST_IMAGES = 16


def keep_explanation(
    run: Run, card: ModelCard, network: nn.Module, pixels: Pixels, device: torch.device
) -> Explanation:
    """Look at a trained network's heat maps, and write what is found into its run.

    Args:
        network: as it was trained; it is left as it was.
        pixels: (N, H, W, C) images of validation, some of each class, made by the model's recipe.
    """
    found = looked_at(card, network, pixels, device)
    write_json(run.explanation_path, found.model_dump())
    return found


def explain_run(
    run: Run,
    card: ModelCard,
    network: nn.Module,
    val: PixelBatches,
    rows: pd.DataFrame,
    progress: Progress,
) -> None:
    """Look at the heat maps of a network whose training is over, on some of its validation images.

    Args:
        val: the validation split.
        rows: of the manifest, of its images.
        progress: told where that failed; `predict --explain` tries again.
    """
    places = chosen_images(rows["image_id"].tolist(), [str(target) for target in val.targets.tolist()])
    device = next(network.parameters()).device
    try:
        keep_explanation(run, card, network, val.pixels[val.positions[places]], device)
    except RuntimeError as error:  # torch's own: memory, or a layer that has no gradient
        progress.note(f"heat maps were not looked at: {str(error).splitlines()[0]}")


def chosen_images(image_ids: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the places of the images that are looked at, of each class as many as of any other."""
    return drawn_evenly(image_ids, classes, MOST_IMAGES)


def looked_at(card: ModelCard, network: nn.Module, pixels: Pixels, device: torch.device) -> Explanation:
    """Return what a network's maps are, and whether they change as they must; arguments as of `keep_explanation`."""
    was_training = network.training
    network.eval()
    try:
        return Look(card, network, pixels, device).explanation()
    finally:
        network.train(was_training)


def explanation_of(run: Run, *, device: str = "auto") -> Explanation:
    """Return what is known of a run's heat maps; of a run that was trained before it was looked at, look now.

    Raises:
        RunError: the run cannot be used, or none of its validation images can be read any more.
    """
    card = run.read_card()
    known = read_explanation(run, card)
    if known is not None:
        return known
    chosen = choose_device(device)
    for member, own in members_of(run, card):
        if read_explanation(member, own) is None:
            pixels = _validation_pixels(member, own, run.folder.resolve().parent.parent)
            keep_explanation(member, own, load_network(member, own, chosen), pixels, chosen)
    found = read_explanation(run, card)
    assert found is not None, f"{run.explanation_path} was just written"
    return found


def maps_in_torch(place: Path, *, device: str = "auto") -> tuple[Predictor, Explanation]:
    """Return a run's model as one that gives class maps, and what is known of them; torch looks at them, and gives
    them, where the run's ONNX copies do not.

    Args:
        place: the run's folder.

    Raises:
        RunError: the run cannot be used, or `place` is a bundle, which has no weights for torch.
    """
    if is_bundle(place):
        raise RunError(
            f"{place} holds no heat maps that torch is not needed for", "name the run that it was made of"
        )
    run = Run(place)
    explanation = explanation_of(run, device=device)
    quick = quick_predictor(run)
    if quick is not None and (not explanation.passed or gives_maps(quick)):
        return quick, explanation
    return predictor_of(run, device=device, quick=False), explanation


def _validation_pixels(run: Run, card: ModelCard, root: Path) -> Pixels:
    """Return pixels (N, H, W, C) of validation images, read from where they were when the run was made.

    Args:
        root: the workspace's folder, which paths without a beginning start at.
    """
    path = run.predictions_path("val")
    if not path.is_file():
        raise RunError(f"{path} is missing", "heat maps are checked on validation images; train again")
    table = read_table(path)
    chosen = table.iloc[chosen_images(table["image_id"].tolist(), table["y_true"].astype(str).tolist())]
    made = []
    for place in chosen["path"]:
        try:
            path_of_image = Workspace(root).absolute(str(place))
            made.append(card.recipe.apply(read_image(path_of_image, card.recipe.read_options)))
        except UnreadableImage:
            continue  # the others will do; how many there were stands in the record
    if not made:
        raise RunError(
            f"none of the validation images in {path} can be read",
            "heat maps are checked on them: run it where they are, or train again",
        )
    stacked: NDArray[Any] = np.stack(made)
    return stacked
