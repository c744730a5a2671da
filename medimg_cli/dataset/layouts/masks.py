"""Segmentation masks that lie beside the images they belong to: they are no images of their own."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

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
    stems = {_stem(file): file for file in files}
    folders: dict[tuple[str, str], str] = {}
    for file in files:
        path = PurePosixPath(file)
        if len(path.parts) > depth + 1 and not is_mask_folder(path.parent.name):
            folders.setdefault((path.parent.parent.as_posix(), path.stem), file)
    found: dict[str, str] = {}
    for file in files:
        path = PurePosixPath(file)
        match = _BESIDE.fullmatch(path.stem)
        plain = match["image"] if match else path.stem
        image = stems.get(_stem(f"{path.parent}/{plain}.x")) if match else None
        if image is None and len(path.parts) > depth + 1 and is_mask_folder(path.parent.name):
            beside = path.parent.parent.as_posix()
            image = folders.get((beside, path.stem)) or folders.get((beside, plain))
        if image is not None and image != file:
            found[file] = image
    return found


def _stem(file: str) -> str:
    path = PurePosixPath(file)
    return (path.parent / path.stem).as_posix()
