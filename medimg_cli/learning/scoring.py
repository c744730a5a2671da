"""Probabilities of a network, and the figures training watches."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.core.intervals import delong
from medimg_cli.core.operating_point import choose_threshold
from medimg_cli.learning.dataset import Batches
from medimg_cli.learning.normalise import Prepare


def predict_logits(
    network: nn.Module,
    batches: Batches,
    normaliser: Prepare,
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the logits (N, C) of a split in its order; the network is left in evaluation mode."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for batch in batches.in_order():
            parts.append(network(normaliser(batch.inputs)).double().cpu().numpy())
            advance(len(batch))
    return np.concatenate(parts)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (N, C) whose rows sum to 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    whole: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return whole


@dataclass(frozen=True)
class Watched:
    """What a monitor may follow, on validation; a figure is NaN where undefined.

    Args:
        loss: mean negative log likelihood.
        auroc: of the positive class, else the mean of one class against the rest.
        recall, f1, f2: of the positive class, else the mean over classes, at the most probable class; F2 counts
            recall four times as much as precision (van Rijsbergen 1979).
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
    targets: NDArray[np.int64],
    positive: int | None,
    *,
    target_recall: float = 0.95,
) -> Watched:
    """Return the figures of one split.

    Args:
        probabilities: (N, C).
        targets: (N,) class indices.
        positive: index of the positive class, None when not stated.
        target_recall: the recall at which specificity is read.
    """
    classes = range(probabilities.shape[1]) if positive is None else [positive]
    called = probabilities.argmax(axis=1)
    figures: list[tuple[float, ...]] = []
    for index in classes:
        truth = targets == index
        if truth.any() and not truth.all():
            figures.append(_one_class(truth, called == index, probabilities[:, index], target_recall))
    auroc, recall, f1, f2, specificity = np.mean(figures, axis=0).tolist() if figures else [float("nan")] * 5
    likelihood = probabilities[np.arange(len(targets)), targets]
    loss = float(-np.log(np.maximum(likelihood, 1e-12)).mean())
    return Watched(loss, auroc, recall, f1, f2, specificity)


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
