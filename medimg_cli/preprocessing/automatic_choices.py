"""The rules that choose what nobody set, from facts of the data and of the machine; each gives its reason in words.

nnU-Net (Isensee et al., Nat Methods 2021;18:203-211) plans a training by fixed rules from a fingerprint of the data
set. So does this, for classification: plain rules, one place for each, all of which an option goes over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import pandas as pd

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError
from medimg_cli.preprocessing.recipe import Interpolation, Recipe
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.settings import PreprocessSettings, TrainSettings

Value = TypeVar("Value")

SMALL_NETWORK = "small-cnn"
USUAL_BATCH = 32
PREFERRED_SIZE_PX = {SMALL_NETWORK: 128}
"""Architecture → side of the images it works best at, for those that do not want the usual one."""
_USUAL_SIZE_PX = 224
_SMALLEST_SIDE_PX = 28
# A frozen MobileNetV2 with logistic regression on 200 images of PneumoniaMNIST (28 px), validation AUROC at 28 px 0.680
# (its last map is one dead place), enlarged to 64 px 0.941, to 128 px 0.955.
_SMALLEST_FROZEN_PX = 128
_LEAST_STEPS = 1000
_MOST_EPOCHS = 60
_LEAST_PATIENCE = 8
_FEW_IMAGES = 500
_BATCH_OF_FEW = 16
_MANY_IMAGES = 5000
_SMALL_SIDE_PX = 64
_SHARE_OF_MEMORY = 0.5

# DICOM Modality (PS3.3 C.7.3.1.1.1) -> preset. Modalities that are not named here may show anything.
_PRESETS = dict.fromkeys(("CR", "DX", "RG"), "cxr") | dict.fromkeys(("SM", "GM"), "histo")
_PRESETS |= {"US": "us", "OP": "fundus", "CT": "ct", "MR": "mr"}
_MODALITY_COLUMNS = ("modality", "file_modality")
_PART_COLUMNS = ("body_part", "bodypart", "bodypartexamined")


@dataclass(frozen=True)
class Ruled(Generic[Value]):
    """What a rule chose, and why."""

    value: Value
    reason: str


@dataclass(frozen=True)
class DataFacts:
    """The fingerprint of a data set, from its manifest; only training images decide.

    Args:
        counts: class → training images.
        side_px: median longer side of the images.
        channels: 1 where all are grey, else 3.
        modality: what every image has in the manifest's column of that name, upper case, else "".
        body_part: the same of BodyPartExamined, where a table carried it.
    """

    images: int
    val_images: int
    patients: int
    counts: Mapping[str, int]
    side_px: int
    channels: Literal[1, 3]
    bit_depth: int
    modality: str = ""
    body_part: str = ""

    def in_words(self) -> str:
        """Return one line about the data."""
        rarest, most = min(self.counts.values(), default=0), max(self.counts.values(), default=0)
        kind = f", {self.modality}" if self.modality else ""
        return (
            f"{plural(self.images, 'training image')} of {plural(self.patients, 'patient')}, {self.val_images:,} for validation; "
            f"{plural(len(self.counts), 'class')} of {rarest:,} to {most:,}; "
            f"{'grey' if self.channels == 1 else 'colour'}{kind}, {self.bit_depth} bits, longer side {self.side_px} px"
        )


def data_facts(dataset: Dataset) -> DataFacts:
    """Return the fingerprint of a data set with at least one training image."""
    train = dataset.of_split("train")
    return DataFacts(
        images=len(train),
        val_images=len(dataset.of_split("val")),
        patients=int(train["patient_id"].nunique()),
        counts=dataset.counts(train),
        side_px=int(np.median(train[["width", "height"]].to_numpy().max(axis=1))),
        channels=1 if (train["channels"] == 1).all() else 3,
        bit_depth=int(train["bit_depth"].max()),
        modality=_shared_by_all(train, _MODALITY_COLUMNS),
        body_part=_shared_by_all(train, _PART_COLUMNS),
    )


def network_for(weights: str, fitting: str | None, facts: DataFacts, device: str) -> Ruled[str]:
    """Return the architecture of `--arch auto`.

    Args:
        weights: none, imagenet, or a file.
        fitting: the architecture whose parameters the file holds, None without a file.
        device: "cpu", "cuda" or "mps".
    """
    if fitting is not None:
        return Ruled(fitting, f"its parameters are those of {weights}")
    if weights == "imagenet":
        if device == "cpu":
            return Ruled("mobilenet_v2", "ImageNet weights at the least arithmetic, for a processor")
        if facts.images < _MANY_IMAGES:
            return Ruled("resnet18", f"ImageNet weights, fewer than {_MANY_IMAGES:,} images")
        return Ruled("resnet50", f"ImageNet weights, {_MANY_IMAGES:,} images or more on a GPU")
    if device == "cpu":
        return Ruled(SMALL_NETWORK, "from scratch on a processor")
    if facts.side_px <= _SMALL_SIDE_PX:
        return Ruled(SMALL_NETWORK, f"from scratch on images of at most {_SMALL_SIDE_PX} px")
    if facts.images < _MANY_IMAGES:
        return Ruled(SMALL_NETWORK, f"from scratch on fewer than {_MANY_IMAGES:,} images")
    return Ruled("resnet18", f"from scratch on {_MANY_IMAGES:,} images or more on a GPU")


def preferred_size_px(arch: str) -> int:
    """Return the side in pixels of the images an architecture works best at, without loading torch.

    >>> preferred_size_px("small-cnn"), preferred_size_px("resnet18")
    (128, 224)
    """
    return PREFERRED_SIZE_PX.get(arch, _USUAL_SIZE_PX)


def side_for(preferred_px: int, facts: DataFacts, *, frozen: bool = False) -> Ruled[int]:
    """Return the side in pixels: what the network prefers, but no more than the images have.

    Args:
        frozen: trained layers stay as they are, so that small images are enlarged to what these can see in.

    >>> side_for(128, DataFacts(9, 3, 9, {}, 64, 1, 8)).value
    64
    """
    own = max(facts.side_px, min(preferred_px, _SMALLEST_FROZEN_PX) if frozen else _SMALLEST_SIDE_PX)
    if own >= preferred_px:
        return Ruled(preferred_px, "what the network prefers")
    if own > max(facts.side_px, _SMALLEST_SIDE_PX):
        return Ruled(
            own, f"images of {facts.side_px} px enlarged: a frozen backbone tells little in smaller ones"
        )
    return Ruled(own, f"the images' own; the network prefers {preferred_px}")


def channels_for(facts: DataFacts) -> Ruled[Literal[1, 3]]:
    """Return 1 where every training image is grey, else 3."""
    return Ruled(facts.channels, "all images are grey" if facts.channels == 1 else "some images have colour")


def augment_for(facts: DataFacts) -> Ruled[str]:
    """Return the augmentation preset of `--augment auto`: by modality, never by how the pictures look.

    Grey or colour, and the shape of the images, do not tell whether a mirrored one is still of its class.
    """
    if facts.modality == "XC" and facts.body_part == "SKIN":
        return Ruled("derm", "every image is a photograph (XC) of skin")
    named = _PRESETS.get(facts.modality)
    if named is not None:
        return Ruled(named, f"every image has the modality {facts.modality}")
    if facts.modality:
        return Ruled("strong", f"keeps sides and top; {facts.modality} has no preset of its own")
    return Ruled("strong", "keeps sides and top; nothing says which modality this is")


def batch_for(images: int, image_bytes: int, fixed_bytes: int, free_bytes: int | None) -> Ruled[int]:
    """Return the images a step of `--batch-size auto`.

    Args:
        images: for training.
        image_bytes: what a training step keeps for each image of its batch.
        fixed_bytes: what it keeps whatever the batch: weights, gradients, moments.
        free_bytes: memory at hand, None where that cannot be told. Half of it is taken at most.
    """
    few = images <= _FEW_IMAGES
    wanted = _BATCH_OF_FEW if few else USUAL_BATCH
    reason = f"at most {_FEW_IMAGES} training images" if few else "the usual"
    if free_bytes is None:
        return Ruled(wanted, reason)
    size = wanted
    while size > 1 and fixed_bytes + size * image_bytes > _SHARE_OF_MEMORY * free_bytes:
        size //= 2
    if size == wanted:
        return Ruled(size, reason)
    return Ruled(
        size, f"about {image_bytes / 2**20:,.0f} MiB an image, and {free_bytes / 2**20:,.0f} MiB are free"
    )


def epochs_for(own: int, steps_an_epoch: int) -> Ruled[int]:
    """Return the epochs: `own`, or more where few images make few steps: about 1,000 steps, but 60 epochs at most.

    >>> epochs_for(12, 134).value, epochs_for(12, 25).value, epochs_for(12, 2).value
    (12, 40, 60)
    """
    more = min(_MOST_EPOCHS, -(-_LEAST_STEPS // steps_an_epoch))
    if more <= own:
        return Ruled(own, "what the network asks for")
    ceiling = f", {_MOST_EPOCHS} at most" if more == _MOST_EPOCHS else ""
    return Ruled(more, f"{steps_an_epoch} steps an epoch: about {_LEAST_STEPS:,} steps in all{ceiling}")


def patience_for(epochs: int) -> Ruled[int]:
    """Return after how many epochs without a better one to stop.

    >>> patience_for(12).value, patience_for(60).value
    (8, 20)
    """
    third = epochs // 3
    if third <= _LEAST_PATIENCE:
        return Ruled(_LEAST_PATIENCE, f"at least {_LEAST_PATIENCE}")
    return Ruled(third, "a third of the epochs")


def _shared_by_all(rows: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Return the value that all rows have in the first of the columns that is there, upper case; else ""."""
    found = next((name for name in rows.columns if str(name).lower() in columns), None)
    if found is None:
        return ""
    values = {str(value).strip().upper() for value in rows[found].unique()}
    return values.pop() if len(values) == 1 else ""


@dataclass(frozen=True)
class WantedImages:
    """What images a network works best at: their side in pixels, and how they are resized to it."""

    size_px: int
    interpolation: Interpolation = "bilinear, antialiased"


def plan_recipe(
    dataset: Dataset,
    settings: PreprocessSettings,
    *,
    train: TrainSettings,
    wanted: WantedImages | None = None,
) -> Recipe:
    """Return the recipe: sizes above the images' own are not used, grey sets stay one channel.

    16 bits are kept only where an image has more than 8. Only training images decide.

    Args:
        train: whose network prefers a size; a frozen one wants small images enlarged.
        wanted: what that network wants, of one that only the torch wing knows.

    Raises:
        DataError: there is no training image.
    """
    facts = facts_of_training(dataset)
    size, channels = settings.size, settings.channels
    wanted = wanted or WantedImages(preferred_size_px(train.arch))
    preferred = side_for(wanted.size_px, facts, frozen=train.freeze != "none")
    return Recipe(
        size_px=preferred.value if size == "auto" else size,
        channels=channels_for(facts).value if channels == "auto" else channels,
        resize_mode=settings.resize_mode,
        interpolation=wanted.interpolation,
        window=None if settings.window == "auto" else settings.window,
        bits=16 if settings.bits == 16 and facts.bit_depth > 8 else 8,
        clahe=settings.clahe,
        border_crop=settings.border_crop,
    )


def facts_of_training(dataset: Dataset) -> DataFacts:
    if dataset.of_split("train").empty:
        raise DataError("no image in the training split", "ingest again with another --split")
    return data_facts(dataset)
