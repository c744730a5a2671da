"""Segmentation masks that lie beside the images they belong to: they are no images of their own."""

import re
from collections.abc import Sequence
from functools import cache

_WORDS = r"masks?|seg|segs|segmentations?|segmented|gt|ground[ _-]?truths?|rois?|contours?|annotations?|lesion|overlay"
_BESIDE = re.compile(rf"(?P<image>.+?)[ _.-]+(?:{_WORDS})(?:[ _-]?\d+)?", re.IGNORECASE)
_FOLDER = re.compile(rf"(?:.*[ _-])?(?:{_WORDS}|labelmaps?|labels)(?:[ _-]?\d+)?", re.IGNORECASE)
IMAGE_FOLDERS = frozenset(
    [
        "images",
        "image",
        "imgs",
        "img",
        "pictures",
        "photos",
        "data",
        "raw",
        "original",
        "originals",
        "png",
        "jpg",
        "jpeg",
        "dicom",
        "dcm",
    ]
)


@cache
def is_mask_folder(name: str) -> bool:
    """Return whether a folder is called as folders of segmentation masks are.

    >>> [is_mask_folder(name) for name in ("masks", "IMD003_lesion", "Ground truth", "segment 4")]
    [True, True, True, False]
    """
    return _FOLDER.fullmatch(name) is not None


def find_masks(files: Sequence[str], *, depth: int) -> dict[str, str]:
    """Return mask → the image it belongs to, of posix paths.

    A mask is called as an image of the same folder and a word such as `_mask` or `_seg_2`, or it lies in a folder
    of masks beside a folder that holds an image of its name.

    Args:
        depth: folders down to the class; one of these is no folder of masks.
    """
    found: dict[str, str] = {}
    parts = [file.rsplit("/", 2) for file in files]
    if not any(_BESIDE.fullmatch(_stem(p[-1])) or (len(p) > 1 and is_mask_folder(p[-2])) for p in parts):
        return found
    stems = {_stem(file): file for file in files}
    folders: dict[tuple[str, str], str] = {}
    deep = [file.count("/") > depth for file in files]
    for file, place, is_deep in zip(files, parts, deep, strict=True):
        if is_deep and not is_mask_folder(place[-2]):
            folders.setdefault(("".join(place[:-2]), _stem(place[-1])), file)
    for file, place, is_deep in zip(files, parts, deep, strict=True):
        name = _stem(place[-1])
        match = _BESIDE.fullmatch(name)
        plain = match["image"] if match else name
        image = stems.get("/".join([*place[:-1], plain])) if match else None
        if image is None and is_deep and is_mask_folder(place[-2]):
            beside = "".join(place[:-2])
            image = folders.get((beside, name)) or folders.get((beside, plain))
        if image is not None and image != file:
            found[file] = image
    return found


def _stem(file: str) -> str:
    folder, dot, suffix = file.rpartition(".")
    return folder if dot and "/" not in suffix else file
