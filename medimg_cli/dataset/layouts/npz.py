"""NumPy archives in the manner of MedMNIST: `{train,val,test}_{images,labels}`."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.dataset.layouts import LAYOUTS, Layout
from medimg_cli.dataset.listing import Entry, Listing, Source
from medimg_cli.dataset.manifest import SPLITS
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings

_FORM = "an archive holds train_images and train_labels, and the same for val and test"
_ORGANS = tuple(
    """
    bladder femur-left femur-right heart kidney-left kidney-right liver lung-left lung-right pancreas spleen
""".split()
)
_NAMES: Mapping[str, tuple[str, ...]] = {
    "bloodmnist": (
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    "breastmnist": ("malignant", "normal, benign"),
    "chestmnist": tuple(
        """
        atelectasis cardiomegaly effusion infiltration mass nodule pneumonia pneumothorax consolidation edema
        emphysema fibrosis pleural hernia
    """.split()
    ),
    "dermamnist": (
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
    "pathmnist": (
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "tissuemnist": (
        "Collecting Duct, Connecting Tubule",
        "Distal Convoluted Tubule",
        "Glomerular endothelial cells",
        "Interstitial endothelial cells",
        "Leukocytes",
        "Podocytes",
        "Proximal Tubule Segments",
        "Thick Ascending Limb",
    ),
}
"""What the numbers mean in the sets of MedMNIST v2 (Yang et al., Scientific Data 2023, table 2)."""


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why `source` is no archive of arrays, or None."""
    if settings.labels is not None:
        return "a table of labels is given"
    if source.path.suffix.lower() != ".npz" or not zipfile.is_zipfile(source.path):
        return "not an .npz archive"
    return None


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List the images of archives; their splits are official, classes are in the order of their numbers.

    Raises:
        DataError: an archive is damaged, lacks labels for images, or has several labels an image that nobody
            asked for.
    """
    entries: list[Entry] = []
    classes: dict[str, None] = {}
    notes: list[str] = []
    for source in sources:
        names = _NAMES.get(_set_name(source.path), ())
        found = _labels_of(source.path, multi_label=settings.multi_label)
        numbers = _numbers(found.values())
        classes |= {_name(number, names): None for number in numbers}
        for split, labels in found.items():
            entries += [
                Entry(
                    image_id=f"{source.prefix}{split}/{position}",
                    path=f"{source.path.as_posix()}#{split}/{position}",
                    label=_label(label, names),
                    relative=f"{split}/{position}",
                    split=split,
                )
                for position, label in enumerate(labels)
            ]
        if names:
            notes.append(f"{source.path.name}: class names as published for {_set_name(source.path)}")
    found_in = "labels in the archive"
    return Listing(tuple(entries), (), tuple(classes), tuple(notes), label_source=found_in)


def _numbers(stacks: Iterable[NDArray[Any]]) -> list[int]:
    """Return the numbers of all classes: those that occur, or one for each column of marks."""
    found: set[int] = set()
    for labels in stacks:
        found |= set(range(labels.shape[1])) if labels.ndim == 2 else {int(label) for label in labels}
    return sorted(found)


def _label(label: Any, names: tuple[str, ...]) -> str:
    """Return the class of a number, or the classes marked in a row of 0 and 1."""
    marked = np.flatnonzero(label) if np.ndim(label) else [label]
    return LABEL_SEP.join(_name(int(number), names) for number in marked)


def _labels_of(path: Path, *, multi_label: bool) -> dict[str, NDArray[Any]]:
    """Return split → labels, integers (N,) or marks (N, C), of every split the archive has."""
    found: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in SPLITS:
                if f"{split}_images" not in arrays.files:
                    continue
                if f"{split}_labels" not in arrays.files:
                    raise DataError(f"{path} has {split}_images without {split}_labels", _FORM)
                found[split] = _checked(
                    arrays[f"{split}_labels"], f"{path.name}: {split}_labels", multi_label=multi_label
                )
                _refuse_unequal(path, split, len(found[split]))
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}", "download the archive again") from error
    if not found:
        raise DataError(f"{path} has no array train_images", _FORM)
    return found


def _refuse_unequal(path: Path, split: str, labels: int) -> None:
    """Compare the labels with the images by these' header alone, without unpacking them."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{split}_images.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        images = read_header(stream)[0][0]
    if images != labels:
        raise DataError(
            f"{path}: {split} has {images} images and {labels} labels", "download the archive again"
        )


def _checked(labels: NDArray[Any], place: str, *, multi_label: bool) -> NDArray[Any]:
    """Return numbers of classes (N,), or marks (N, C) where images may have several labels."""
    several = labels.ndim == 2 and labels.shape[1] > 1
    if several and not multi_label:
        raise DataError(
            f"{place} holds {labels.shape[1]} labels an image",
            "--multi-label reads them, each a class of its own",
        )
    if labels.dtype.kind not in "uib":
        raise DataError(f"{place} are of type {labels.dtype}", "labels are whole numbers")
    if several and not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{place} holds other numbers than 0 and 1", "a column stands for a class: 1 has it, 0 not"
        )
    return labels if several else labels.reshape(-1)


def _set_name(path: Path) -> str:
    """Return the set's name without its size: `pathmnist_64.npz` is pathmnist."""
    return re.sub(r"_\d+$", "", path.stem.lower())


def _name(number: int, names: tuple[str, ...]) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


LAYOUTS.register("npz")(
    Layout(summary="an archive of arrays (MedMNIST)", misfit=misfit, list_images=list_images)
)
