"""One network, some images, and all there is to say of its heat maps."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t
from torch import nn

from medimg_cli.inference.heatmap import Heat, evidence
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.explanation import Blanked, Explanation, withheld_for
from medimg_cli.runs.run import ModelCard
from medimg_cli.statistics.intervals import wilson
from medimg_cli.training.explanation.evidence_maps import Place, find_place, maps_of, method_of
from medimg_cli.training.explanation.randomisation_test import rank_correlation, shuffled
from medimg_cli.training.networks.torch_network import as_images
from medimg_cli.training.normalise import Normaliser

SEEDS = (0, 1, 2, 3)
_BLANKED = 0.1
_FULL_QUANTILE = 0.75
_BATCH = 8


class Look:
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
