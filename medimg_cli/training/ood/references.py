"""What a network's training images were like, and from where on an image is unlike them; written when training ends."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from medimg_cli.inference.flags.low_quality import quality_of
from medimg_cli.inference.image_features import (
    BEST_HIGH,
    BEST_LOW,
    Measured,
    measure_pixels,
    measure_shares,
    shares_of,
)
from medimg_cli.inference.onnx_network import Network, OnnxNetwork
from medimg_cli.inference.ood_reference import DETECTORS, LAYOUT, Floats, Known, even, of_length_one
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.runs.ood_limits import Limits, Range, Sets
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.conformal import least_probabilities
from medimg_cli.training.networks.torch_network import TorchNetwork
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.threads import map_ordered

MOST_IMAGES = 1000
ALPHA = 0.1
"""Of the prediction sets, as `evaluate` has it by default."""
_AXES = 64
_IMAGES_AN_AXIS = 4
_FAINTEST = 1e-3  # thumbnails and scores that do not differ have no direction and no span
_STEADY = 0.01  # a figure that hardly differs between training images may do so by this much
_SHRINKAGE = 0.1
_BATCH = 64
_SEED = 0
_FOLDS = 10
_SPAN = 0.9
_NEGATIVE_QUANTILE = 0.99
_MARGIN = 0.5
_FEWEST_NEGATIVES = 0.5  # share of validation's negatives that have to be recognised


@dataclass(frozen=True)
class Images:
    """Images of one split.

    Args:
        pixels: (M, H, W, C), the cache.
        positions: (N,) where they stand in it.
        rows: of the manifest, N.
    """

    pixels: Pixels
    positions: NDArray[np.int64]
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.positions)

    def some(self, most: int) -> "Images":
        """Return at most so many, spread evenly over the split, the same ones every time."""
        if len(self) <= most:
            return self
        places = np.linspace(0, len(self) - 1, most).round().astype(np.int64)
        return Images(self.pixels, self.positions[places], self.rows.iloc[places])


@dataclass(frozen=True)
class Seen:
    """What was measured of N images, and the features (N, D) that the network made of them."""

    measured: tuple[Measured, ...]
    features: Floats


def with_reference(
    run: Run, card: ModelCard, train: Images, val: Images, device: torch.device, *, false_alarms: float
) -> ModelCard:
    """Write the reference of a network and return its card with the reference's hash and limits.

    Args:
        train, val: the images it learnt from and those it was judged on; of more than 1,000 as many are drawn.
        device: what the network runs on, where it has no ONNX copy or is not on a processor.
        false_alarms: share of validation that may be called unlike the training.

    Raises:
        MachineError: the disk is full.
    """
    network: Network = (
        OnnxNetwork(run.onnx_path, card)
        if card.onnx_sha256 and device.type == "cpu"
        else TorchNetwork(run, card, device)
    )
    of_train = see(card, train.some(MOST_IMAGES), network)
    of_val = see(card, val.some(MOST_IMAGES), network)
    known = known_of(of_train, alter(card, train.some(MOST_IMAGES)))
    with atomic_path(run.reference_path) as temporary:
        temporary.write_bytes(save({field.name: getattr(known, field.name) for field in fields(known)}))
    limits = limits_of(known, of_train, of_val, train.rows, false_alarms)
    return card.model_copy(update={"reference_sha256": sha256_of_file(run.reference_path), "limits": limits})


def with_sets(
    card: ModelCard, probabilities: NDArray[np.float64], truth: NDArray[np.generic], split: str
) -> ModelCard:
    """Return the card with the least probabilities of the prediction sets; as it was, of several labels an image.

    Args:
        probabilities: (N, C) of images the model had not learnt from.
        truth: (N,) class indices.
        split: what these images are called.
    """
    if card.answers == "sigmoid":
        return card
    least, counts = least_probabilities(probabilities, truth.astype(np.int64), ALPHA)
    sets = Sets(
        alpha=ALPHA,
        least=dict(zip(card.classes, least.tolist(), strict=True)),
        counts=dict(zip(card.classes, counts.tolist(), strict=True)),
        split=split,
    )
    return card.model_copy(update={"sets": sets})


def see(card: ModelCard, images: Images, network: Network) -> Seen:
    """Return what is measured of images and what the network makes of them."""

    def one(place: int) -> Measured:
        row = images.rows.iloc[place]
        pixels: Pixels = images.pixels[images.positions[place]]
        return measure_pixels(pixels, card.recipe, float(row["width"]), float(row["height"]))

    measured = tuple(map_ordered(one, range(len(images))))
    parts = [
        network(images.pixels[images.positions[start : start + _BATCH]]).features
        for start in range(0, len(images), _BATCH)
    ]
    return Seen(measured, np.concatenate(parts))


def alter(card: ModelCard, images: Images) -> tuple[Measured, ...]:
    """Return what is measured of a copy of each image, altered as `training.ood.references` has it, always alike."""
    side = card.recipe.size_px

    def one(place: int) -> Measured:
        pixels: Pixels = images.pixels[images.positions[place]]
        copy = altered(shares_of(pixels), card.recipe, np.random.default_rng([_SEED, place]))
        return measure_shares(copy, card.recipe, side, side)

    return tuple(map_ordered(one, range(len(images))))


def known_of(train: Seen, copies: tuple[Measured, ...] = ()) -> Known:
    """Return what images were like, for `Known.scores` to hold others against.

    Args:
        copies: altered ones of the same images; the network is not asked about them.
    """
    shown = (*train.measured, *copies)
    mean, axes, spreads, rest = _principal(even(np.stack([one.thumbnail for one in shown])))
    centre, whitening = _whitening(np.stack([one.figures for one in shown]))
    return Known(
        features=of_length_one(train.features),
        mean=mean,
        axes=axes,
        spreads=spreads,
        rest=rest,
        figures=centre,
        whitening=whitening,
    )


def _principal(thumbnails: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean (P,), axes (A, P), spreads (A,) and rest (1,) of thumbnails (N, P), see `Known`."""
    mean = thumbnails.mean(axis=0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(thumbnails - mean, full_matrices=False)
    count, values = thumbnails.shape
    variances = np.square(lengths) / max(1, count - 1)
    axes = max(1, min(_AXES, count // _IMAGES_AN_AXIS))
    rest = max(_FAINTEST, np.sqrt(float(variances[axes:].sum()) / max(1, values - axes)))
    spreads = np.maximum(np.sqrt(variances[:axes]), rest)
    return (
        mean.astype(np.float32),
        np.ascontiguousarray(directions[:axes], dtype=np.float32),
        spreads.astype(np.float32),
        np.array([rest], dtype=np.float32),
    )


def _whitening(found: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean (F,) of figures (N, F) and what makes them of unit variance and uncorrelated (F, F).

    Correlations are shrunk towards none by a tenth, so that figures which always go together do not make a small
    difference between them a large one.
    """
    mean, spread = found.mean(axis=0), np.maximum(found.std(axis=0), _STEADY)
    scaled = (found - mean) / spread
    correlations = (1 - _SHRINKAGE) * (scaled.T @ scaled) / len(scaled) + _SHRINKAGE * np.eye(len(mean))
    values, vectors = np.linalg.eigh(correlations)
    return mean, np.ascontiguousarray(vectors / np.sqrt(values) / spread[:, None])


def limits_of(known: Known, train: Seen, val: Seen, rows: pd.DataFrame, false_alarms: float) -> Limits:
    """Return the limits of a network.

    Args:
        rows: of all training images, for their sizes.
        false_alarms: as `with_reference` has it.
    """
    scores = [known.scores(*one) for one in zip(val.measured, val.features, strict=True)]
    table = np.array([[each[name] for name in DETECTORS] for each in scores])
    middles, spans = _scale(table)
    unlike, rate = _upper(_largest(table), false_alarms)
    layout, _ = _upper(table[:, DETECTORS.index(LAYOUT)], false_alarms)
    width, height = (pd.to_numeric(rows[name]).to_numpy(dtype=np.float64) for name in ("width", "height"))
    return Limits(
        false_alarms=rate,
        train_images=len(train.measured),
        val_images=len(val.measured),
        middles=dict(zip(DETECTORS, middles.tolist(), strict=True)),
        spans=dict(zip(DETECTORS, spans.tolist(), strict=True)),
        unlike=max(float(unlike), _FAINTEST),
        grey=bool((pd.to_numeric(rows["channels"]) == 1).all()),
        negative=_least_gain(known, val, float(layout)),
        width_px=_middle(width),
        height_px=_middle(height),
        ratio=_middle(width / height),
        quality=_ordinary_quality(train),
    )


def _scale(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return middle and span of each detector (D,) of scores (N, D), see `Limits`."""
    middles = np.median(table, axis=0)
    spans = np.quantile(table, _SPAN, axis=0) - middles
    return middles, np.maximum(spans, _FAINTEST * np.maximum(np.abs(middles), _FAINTEST))


def _largest(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest comparable score (N,) of each image, on the scale of the other images.

    On a scale that it had a part in, an outermost image would lie nearer than a further one does, and more than was stated
    would be refused.
    """
    folds = np.arange(len(table)) % min(len(table), _FOLDS)
    largest = np.empty(len(table))
    for fold in range(folds.max() + 1):
        mine = folds == fold
        middles, spans = _scale(table if mine.all() else table[~mine])
        largest[mine] = ((table[mine] - middles) / spans).max(axis=1)
    return largest


def _upper(scores: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], float]:
    """Return what a further image passes with a chance of at most `rate`, along the first axis, and that chance.

    Of n images the value of rank ceil((n + 1)(1 − rate)), as in `statistics.conformal`; the largest where n is too small.
    """
    count = len(scores)
    rank = int(np.ceil((count + 1) * (1 - rate) - 1e-9))
    if rank > count:
        rank, rate = count, 1 / (count + 1)
    return np.sort(scores, axis=0)[rank - 1], rate


def _least_gain(known: Known, val: Seen, limit: float) -> float | None:
    """Return how much less far out than the image its negative has to lie before the image may be one.

    Half of what inverting validation's images costs in the median, and no less than its ordinary images gain; None
    where that tells too few of them, as where a negative looks like any other picture.
    """
    plain = np.array([known.layout(one.thumbnail) for one in val.measured])
    costs = np.array([known.layout(one.negative) for one in val.measured]) - plain
    least = max(0.0, float(np.median(costs)) / 2, float(np.quantile(-costs, _NEGATIVE_QUANTILE)))
    recognised = (costs > least) & (plain <= limit)
    return least if recognised.mean() >= _FEWEST_NEGATIVES else None


def _middle(values: NDArray[np.float64]) -> Range:
    return float(np.quantile(values, 0.005)), float(np.quantile(values, 0.995))


def _ordinary_quality(train: Seen) -> dict[str, Range]:
    """Return the ordinary range of each figure of quality: beyond it lies a hundredth of the training, and a margin."""
    found = [quality_of(one) for one in train.measured]
    columns = {name: np.array([each[name] for each in found]) for name in found[0]}
    quantiles = {name: np.quantile(values, [0.01, 0.5, 0.99]).tolist() for name, values in columns.items()}
    ordinary: dict[str, Range] = {}
    for name, (low, middle, high) in quantiles.items():
        if name in BEST_HIGH:
            ordinary[name] = (low - _MARGIN * (middle - low), 1.0)
        if name in BEST_LOW:
            ordinary[name] = (0.0, high + max(_STEADY, _MARGIN * (high - middle)))
    return ordinary


ZOOM, COARSER, GAMMA, CONTRAST, BRIGHTNESS, DARKER, TINT, NARROWER = 0.4, 3.0, 0.5, 0.5, 0.2, 0.6, 0.1, 0.4
"""Largest part that is cut off, and how many times fewer pixels there are beside all of them; largest logarithm of the
exponent; by how much contrast, brightness, white, a channel, and one side (in a letterbox) are changed at most."""
_FEWEST_PX = 8


def altered(shares: Floats, recipe: Recipe, generator: np.random.Generator) -> Floats:
    """Return a copy of a picture (H, W, C) in 0..1 as another site might have made it, of the same shape."""
    layers = _reframed(shares, generator)
    power = float(np.exp(generator.uniform(-GAMMA, GAMMA)))
    changed = np.clip(layers, 0, 1) ** power
    mean = float(changed.mean(dtype=np.float64))
    contrast, brightness = 1 + CONTRAST * generator.uniform(-1, 1), BRIGHTNESS * generator.uniform(-1, 1)
    changed = np.clip((changed - mean) * contrast + mean + brightness, 0, 1)
    changed = changed * (1 - DARKER * generator.uniform())
    if shares.shape[2] > 1:
        changed = changed * (1 - TINT * generator.uniform(size=shares.shape[2]))
    changed = np.asarray(changed, dtype=np.float32)
    return _letterboxed(changed, generator) if recipe.resize_mode == "pad" else changed


def _reframed(shares: Floats, generator: np.random.Generator) -> Floats:
    """Return a part of the picture, as if it had fewer pixels, at the size of the whole."""
    height, width, _ = shares.shape
    part = 1 - ZOOM * generator.uniform()
    top, left = (1 - part) * generator.uniform(size=2)
    box = (left * width, top * height, (left + part) * width, (top + part) * height)
    coarse = 1 + COARSER * generator.uniform()
    fewer = max(_FEWEST_PX, round(width / coarse)), max(_FEWEST_PX, round(height / coarse))
    layers = []
    for layer in range(shares.shape[2]):
        small = Image.fromarray(shares[..., layer]).resize(fewer, Image.Resampling.BILINEAR, box=box)
        layers.append(np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(layers, axis=-1)


def _letterboxed(shares: Floats, generator: np.random.Generator) -> Floats:
    """Return the picture with one of its sides shortened, between bars of black."""
    height, width, _ = shares.shape
    rest = 1 - NARROWER * generator.uniform()
    upright = generator.uniform() < 0.5
    wide, high = (width, max(1, round(height * rest))) if upright else (max(1, round(width * rest)), height)
    left, top = (width - wide) // 2, (height - high) // 2
    canvas = np.zeros_like(shares)
    for layer in range(shares.shape[2]):
        narrow = Image.fromarray(shares[..., layer]).resize((wide, high), Image.Resampling.BILINEAR)
        canvas[top : top + high, left : left + wide, layer] = np.asarray(narrow)
    return canvas
