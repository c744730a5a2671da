"""Probabilities of a network, and the figures training watches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.predictions.operating_point import choose_threshold
from medimg_cli.statistics.areas import delong
from medimg_cli.statistics.probabilities import log_loss_of
from medimg_cli.training.batches import Batches, Targets
from medimg_cli.training.device import Prepare
from medimg_cli.training.distributed.all_reduce import ALONE, World
from medimg_cli.training.distributed.synchronised_layers import unwarned_if_empty


def predict_logits(
    network: nn.Module,
    batches: Batches,
    normaliser: Prepare,
    advance: Callable[[int], None] = lambda _: None,
    world: World = ALONE,
) -> NDArray[np.float64]:
    """Return the logits (N, C) of a split in its order; the network is left in evaluation mode.

    Args:
        world: its processes share the batches, each image once, and all of them get all logits.
    """
    network.eval()
    parts, places = [], []
    with torch.inference_mode():
        for batch in batches.in_order(world.rank, world.size):
            parts.append(network(normaliser(batch.inputs)).double().cpu().numpy())
            places.append(batch.places)
            advance(len(batch))
        if not parts:  # more processes than batches
            nothing = normaliser(next(batches.in_order()).inputs[:0])
            with unwarned_if_empty(nothing):
                parts.append(network(nothing).double().cpu().numpy())
            places.append(np.arange(0))
    logits = np.concatenate(parts)
    if world.size == 1:
        return logits
    whole = np.zeros((len(batches), *logits.shape[1:]))
    whole[np.concatenate(places)] = logits
    return world.filled(whole)


SHOWN = ("loss", "auroc", "recall", "f1")
"""The watched figures that every epoch shows and a run's record keeps."""


@dataclass(frozen=True)
class Watched:
    """What a monitor may follow, on validation; a figure is NaN where undefined.

    Args:
        loss: mean negative log likelihood.
        auroc: of the positive class, else the mean of one class against the rest.
        recall, f1, f2: of the positive class, else the mean over classes, at the most probable class, or, of
            several labels an image, at a probability of 0.5; F2 counts recall four times as much as precision (van
            Rijsbergen 1979).
        specificity: where the target recall is reached, likewise: what the operating point will cost.
    """

    loss: float
    auroc: float
    recall: float
    f1: float
    f2: float
    specificity: float


def watched_figures(
    probabilities: NDArray[np.float64],
    targets: Targets,
    positive: Sequence[int],
    *,
    target_recall: float = 0.95,
) -> Watched:
    """Return the figures of one split; what nobody judged, and a class without both outcomes, has no part in them.

    Args:
        probabilities: (N, C).
        targets: (N,) class indices, or (N, C) of 1, 0 and NaN for unknown.
        positive: indices of the positive classes, which count as one; none when not stated.
        target_recall: the recall at which specificity is read.
    """
    groups = [list(positive)] if positive else [[index] for index in range(probabilities.shape[1])]
    several = targets.ndim == 2
    called = (
        probabilities >= 0.5 if several else _one_hot(probabilities.argmax(axis=1), probabilities.shape[1])
    )
    marks = targets if several else _one_hot(targets, probabilities.shape[1])
    figures: list[tuple[float, ...]] = []
    for group in groups:
        known = ~np.isnan(marks[:, group]).any(axis=1)
        truth = np.logical_or.reduce(marks[known][:, group] == 1, axis=1)
        named = np.logical_or.reduce(called[known][:, group], axis=1)
        if truth.any() and not truth.all():
            scores = probabilities[known][:, group].sum(axis=1)
            figures.append(_one_class(truth, named, scores, target_recall))
    auroc, recall, f1, f2, specificity = np.mean(figures, axis=0).tolist() if figures else [float("nan")] * 5
    return Watched(log_loss_of(probabilities, targets), auroc, recall, f1, f2, specificity)


def _one_hot(indices: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """Return (N, C), True where an image is of the class."""
    marks: NDArray[np.bool_] = indices[:, None] == np.arange(classes)
    return marks


def _one_class(
    truth: NDArray[np.bool_], called: NDArray[np.bool_], scores: NDArray[np.float64], target_recall: float
) -> tuple[float, ...]:
    """Return AUROC, recall, F1, F2 and the specificity at the target recall of one class against the rest."""
    found, wanted, named = int((truth & called).sum()), int(truth.sum()), int(called.sum())
    point = choose_threshold(truth, scores, target_recall=target_recall, split="val")
    return (
        delong(truth, scores)[0],
        found / wanted,
        2 * found / (wanted + named),
        5 * found / (4 * wanted + named),
        float("nan") if point.achieved_specificity is None else point.achieved_specificity,
    )
