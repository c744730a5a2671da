"""Training images as they are, as the recipe makes them, and as augmentation will vary them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.pictures import SheetGroup, SheetRow, draw_sheet
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.training.augmentation.augment import Augment

SAMPLES_A_CLASS = 8
VERSIONS = 3


@dataclass(frozen=True)
class Sample:
    """One training image of the preview; `of_class` counts the class's training images."""

    image_id: str
    path: str
    label: str
    of_class: int


def choose_samples(dataset: Dataset, *, seed: int) -> list[Sample]:
    """Return up to `SAMPLES_A_CLASS` training images of each class, in the classes' order, drawn by `seed`."""
    train = dataset.of_split("train").sample(frac=1, random_state=seed)
    separator = dataset.info.label_sep if dataset.info.multi_label else None
    labels = [label.split(separator) if separator else [label] for label in train["label"]]
    samples: list[Sample] = []
    for name in dataset.info.classes:
        part = train[[name in own for own in labels]]
        shown = part.head(SAMPLES_A_CLASS)
        pairs = zip(shown["image_id"], shown["path"], strict=True)
        samples += [Sample(image_id, path, name, len(part)) for image_id, path in pairs]
    return samples


def preview_sheet(
    cache: PixelCache,
    samples: list[Sample],
    images: Iterable[DecodedImage],
    augment: Augment,
    *,
    name: str,
    seed: int,
) -> Image.Image:
    """Return the contact sheet of `samples`, whose originals `images` yields in order.

    Args:
        cache: their pixels after the recipe.
        augment: what varies them, called `name`.
        seed: of the variations.
    """
    positions = cache.positions([sample.image_id for sample in samples])
    rows: dict[str, list[SheetRow]] = {}
    headings: dict[str, str] = {}
    for number, (sample, image, position) in enumerate(zip(samples, images, positions, strict=True)):
        headings[sample.label] = f"{sample.label}   ({sample.of_class:,} in training)"
        row = _row(sample, image, cache.pixels[position], augment, seed + number)
        rows.setdefault(sample.label, []).append(row)
    columns = ("original", "after preprocessing", *[f"augmented: {name}"] * VERSIONS)
    groups = [SheetGroup(headings[label], tuple(own)) for label, own in rows.items()]
    return draw_sheet(f"medimg preprocess: {cache.recipe.in_words()}", columns, groups)


def as_picture(pixels: Pixels) -> Image.Image:
    """Return pixels (H, W, 1 or 3) as an 8-bit picture."""
    shown = DecodedImage(pixels, 8 * pixels.dtype.itemsize).as_uint8()
    return Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown)


def augmented_pictures(pixels: Pixels, augment: Augment, *, count: int, seed: int) -> list[Image.Image]:
    """Return `count` random versions of one image (H, W, C), the same for the same seed."""
    white = np.iinfo(pixels.dtype).max
    image = torch.from_numpy(pixels.astype(np.float32) * np.float32(255 / white)).permute(2, 0, 1)
    batch = image.expand(count, *image.shape).contiguous()
    changed = augment(batch, torch.Generator().manual_seed(seed)).permute(0, 2, 3, 1).numpy()
    shown: NDArray[np.uint8] = np.rint(changed).clip(0, 255).astype(np.uint8)
    return [as_picture(one) for one in shown]


def _row(sample: Sample, image: DecodedImage, pixels: Pixels, augment: Augment, seed: int) -> SheetRow:
    versions = augmented_pictures(pixels, augment, count=VERSIONS, seed=seed)
    original = f"from {image.width} x {image.height}, {image.bit_depth} bits"
    captions = (mask_identities(sample.image_id), original, *[""] * VERSIONS)
    return SheetRow((as_picture(image.pixels), as_picture(pixels), *versions), captions)
