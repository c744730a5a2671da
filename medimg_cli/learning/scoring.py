"""Probabilities of a network, and the figures training watches."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medimg_cli.core.intervals import delong
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
        for images, _ in batches.in_order():
            parts.append(network(normaliser(images)).double().cpu().numpy())
            advance(len(images))
    return np.concatenate(parts)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (N, C) whose rows sum to 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    whole: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return whole


def watched_figures(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64], positive: int | None
) -> dict[str, float]:
    """Return what a monitor may follow: loss, auroc, recall, f1.

    Recall and F1 are of the positive class, else the mean over classes, at the most probable class; AUROC
    is of the positive class, else the mean of one against the rest. A figure is NaN where undefined.
    """
    classes = range(probabilities.shape[1]) if positive is None else [positive]
    called = probabilities.argmax(axis=1)
    areas, recalls, f1s = [], [], []
    for index in classes:
        truth = targets == index
        if not truth.any() or truth.all():
            continue
        found = int((truth & (called == index)).sum())
        areas.append(delong(truth, probabilities[:, index])[0])
        recalls.append(found / int(truth.sum()))
        f1s.append(2 * found / (int(truth.sum()) + int((called == index).sum())))
    likelihood = probabilities[np.arange(len(targets)), targets]
    return {
        "loss": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        "auroc": float(np.mean(areas)) if areas else float("nan"),
        "recall": float(np.mean(recalls)) if recalls else float("nan"),
        "f1": float(np.mean(f1s)) if f1s else float("nan"),
    }
