"""Whether a network's heat maps are of what it learnt: measured once, when training ends, and kept in `explain.json`.

A map that stays as it was when the weights are shuffled is of the image, or of the architecture, and not of the model:
it looks convincing and says nothing (Adebayo et al. 2018, arXiv:1810.03292). Such maps are withheld.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student_t
from torch import Tensor, nn

from medimg_cli.errors import RunError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.inference.heatmap import Heat, evidence, gives_maps
from medimg_cli.inference.predictor import Predictor, members_of, quick_predictor
from medimg_cli.preprocessing.corruptions import drawn_evenly
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.bundle import is_bundle
from medimg_cli.runs.explanation import Blanked, Explanation, read_explanation, withheld_for
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.intervals import wilson
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.device import Normaliser, choose_device
from medimg_cli.training.explanation.class_maps import Place, find_place, maps_of, method_of
from medimg_cli.training.networks.backbone import head_path
from medimg_cli.training.networks.torch_network import as_images, predictor_of
from medimg_cli.workspace.files import sealed, write_json
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
    write_json(run.explanation_path, sealed(found.model_dump()))
    return found


def explain_run(
    run: Run, card: ModelCard, network: nn.Module, val: PixelBatches, rows: pd.DataFrame, progress: Progress
) -> None:
    """Look at the heat maps of a network whose training is over, on some of its validation images.

    Args:
        val: the validation split.
        rows: of the manifest, of its images.
        progress: notified where that failed; `predict --explain` tries again.
    """
    places = drawn_evenly(
        rows["image_id"].tolist(), [str(target) for target in val.targets.tolist()], MOST_IMAGES
    )
    device = next(network.parameters()).device
    try:
        keep_explanation(run, card, network, val.pixels[val.positions[places]], device)
    except RuntimeError as error:  # torch's own: memory, or a layer that has no gradient
        progress.note(f"heat maps were not looked at: {str(error).splitlines()[0]}")


def looked_at(card: ModelCard, network: nn.Module, pixels: Pixels, device: torch.device) -> Explanation:
    """Return what a network's maps are, and whether they change as they must; arguments as of `keep_explanation`."""
    was_training = network.training
    network.eval()
    try:
        return MapCheck(card, network, pixels, device).explanation()
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
    chosen = table.iloc[
        drawn_evenly(table["image_id"].tolist(), table["y_true"].astype(str).tolist(), MOST_IMAGES)
    ]
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


def shuffled(network: nn.Module, what: str, seed: int, inputs: Tensor) -> nn.Module:
    """Return a copy whose weights are shuffled within each tensor: as large as they were, and nothing learnt left.

    Args:
        what: "head", or "all", of which the batch statistics are then taken anew.
        inputs: (N, C, H, W) to take them of.
    """
    other = copy.deepcopy(network)
    head = head_path(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if what == "all" or name.startswith(f"{head}."):
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.reshape(-1)[order].reshape(weight.shape))
        if what == "all":
            _measure_statistics(other, inputs)
    return other.eval()


def _measure_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Give the normalising layers the statistics of what they now receive; a shuffled network may overflow without."""
    for module in network.modules():
        if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        module.reset_running_stats()
        module.momentum = None  # the mean over all that follow
        module.train()
    for start in range(0, len(inputs), _BATCH):
        some = inputs[start : start + _BATCH]
        if len(some) > 1:  # of one image there are no statistics
            network(some)


def rank_correlation(one: Heat, two: Heat) -> float:
    """Return Spearman's correlation of two maps of one shape, NaN where one of them is the same everywhere."""
    ranks = np.stack([rankdata(one), rankdata(two)]).reshape(2, -1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((ranks**2).sum(axis=1)).prod())
    known = scale > 0 and np.isfinite([one, two]).all()
    return float((ranks[0] * ranks[1]).sum() / scale) if known else float("nan")


SEEDS = (0, 1, 2, 3)
_BLANKED = 0.1
_FULL_QUANTILE = 0.75
_BATCH = 8


class MapCheck:
    """One network, the images, and where its maps come from."""

    def __init__(self, card: ModelCard, network: nn.Module, pixels: Pixels, device: torch.device) -> None:
        self._card = card
        self._network = network
        self._inputs = Normaliser(card.normalisation, device)(as_images(pixels))
        self._place = find_place(network, self._inputs[:1])

    def explanation(self) -> Explanation:
        place, card = self._place, self._card
        blank = Explanation(
            method="gradient-weighted activations" if place is None else method_of(place),
            layer="" if place is None else place.layer,
            side=0 if place is None else place.side,
            weights_sha256=card.weights_sha256,
            images=len(self._inputs),
            seeds=SEEDS,
        )
        if place is None:
            why = f"no layer of {card.arch} keeps places of images of {card.recipe.size_px} px"
            return blank.model_copy(update={"withheld": why})
        logits, maps = self._asked(self._network, place)
        labels = _labels(card, logits)
        heats = self._heats(maps, labels)
        found = {what: self._similarity(place, heats, labels, what) for what in ("head", "all")}
        similarity = {what: None if one is None else one[0] for what, one in found.items()}
        withheld = withheld_for(similarity["all"])
        return blank.model_copy(
            update={
                "similarity": similarity,
                "intervals": {
                    what: one[1] for what, one in found.items() if one is not None and one[1] is not None
                },
                "passed": not withheld,
                "withheld": withheld,
                "full": _full(heats),
                "blanked": self._blanked(logits, heats, labels),
            }
        )

    def _asked(self, network: nn.Module, place: Place) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return logits (N, C) and maps (N, C, h, w), a few images at a time."""
        parts = [
            maps_of(network, place, self._inputs[start : start + _BATCH])
            for start in range(0, len(self._inputs), _BATCH)
        ]
        logits, maps = (torch.cat(each) for each in zip(*parts, strict=True))
        return logits.double().cpu().numpy(), maps.float().cpu().numpy()

    def _heats(self, maps: NDArray[np.float32], labels: Sequence[str]) -> list[Heat]:
        return [evidence(self._card, one, label) for one, label in zip(maps, labels, strict=True)]

    def _similarity(
        self, place: Place, heats: Sequence[Heat], labels: Sequence[str], what: str
    ) -> tuple[float, tuple[float, float] | None] | None:
        """Return the mean absolute rank correlation with the maps of shuffled networks, and its interval.

        Student's over the means of images; None where fewer than two have one, or none is defined at all.
        """
        rows: list[list[float]] = []
        for seed in SEEDS:
            other = shuffled(self._network, what, seed, self._inputs)
            changed = self._heats(self._asked(other, place)[1], labels)
            rows.append([abs(rank_correlation(one, two)) for one, two in zip(heats, changed, strict=True)])
        found = np.array(rows)
        known = np.isfinite(found)
        if known.sum() * 2 < found.size or not known.any():
            return None
        of_image = [
            column[there].mean() for column, there in zip(found.T, known.T, strict=True) if there.any()
        ]
        mean, count = float(found[known].mean()), len(of_image)
        if count < 2:
            return mean, None
        half = float(student_t.ppf(0.975, count - 1) * np.std(of_image, ddof=1) / np.sqrt(count))
        return mean, (max(0.0, mean - half), min(1.0, mean + half))

    def _blanked(
        self, logits: NDArray[np.float64], heats: Sequence[Heat], labels: Sequence[str]
    ) -> Blanked | None:
        """Return what blanking the hottest tenth of each image does, and blanking as much of it somewhere else."""
        side = int(self._inputs.shape[2])
        before = _contrasts(self._card, logits, labels)
        hottest = [_hottest(heat, side) for heat in heats]
        # Moved by half of both sides: the same shape and area, and as far away as an image allows.
        elsewhere = [np.roll(mask, (side // 2, side // 2), axis=(0, 1)) for mask in hottest]
        falls = [
            before - _contrasts(self._card, self._without(masks), labels) for masks in (hottest, elsewhere)
        ]
        if not np.isfinite(falls).all():
            return None
        more = falls[0] > falls[1]
        return Blanked(
            hottest=float(falls[0].mean()),
            elsewhere=float(falls[1].mean()),
            share=float(more.mean()),
            interval=wilson(int(more.sum()), len(more)),
        )

    def _without(self, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """Return the logits of the images with each mask's pixels at the image's mean."""
        hidden = torch.from_numpy(np.stack(masks)[:, None]).to(self._inputs.device)
        mean = self._inputs.mean(dim=(2, 3), keepdim=True)
        with torch.no_grad():
            logits = self._network(torch.where(hidden, mean, self._inputs))
        answers: NDArray[np.float64] = logits.double().cpu().numpy()
        return answers


def _labels(card: ModelCard, logits: NDArray[np.float64]) -> list[str]:
    """Return the class whose map is looked at: the positive one, where there is one, else the one answered."""
    if card.positive is not None:
        logits = np.where(card.labels.is_positive, logits, -np.inf)
    return [card.classes[int(best)] for best in logits.argmax(axis=1)]


def _contrasts(card: ModelCard, logits: NDArray[np.float64], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return (N,) what the maps add up to: logits as maps of one place."""
    maps = logits.astype(np.float32)[:, :, None, None]
    return np.array(
        [float(evidence(card, one, label)[0, 0]) for one, label in zip(maps, labels, strict=True)]
    )


def _full(heats: Sequence[Heat]) -> float | None:
    """Return the evidence drawn in the last colour: three in four images with any stay below it; None without any."""
    highest = [float(heat.max()) for heat in heats if heat.max() > 0]
    return float(np.quantile(highest, _FULL_QUANTILE)) if highest else None


def _hottest(heat: Heat, side: int) -> NDArray[np.bool_]:
    """Return the tenth (side, side) of an image with the most evidence."""
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(heat)[None, None], size=(side, side), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    order = np.argsort(-enlarged, axis=None, kind="stable")
    mask = np.zeros(side * side, dtype=bool)
    mask[order[: max(1, round(_BLANKED * side * side))]] = True
    return mask.reshape(side, side)
