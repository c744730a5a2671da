"""De-identification of one picture: everything beside its pixels goes, and the pixels are shown to be the same."""

import hashlib
import io
from collections import Counter
from typing import Any

import numpy as np
import tifffile
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata
from medimg_cli.privacy.metadata.raster_metadata import read_metadata_of
from medimg_cli.privacy.removal.last_samples import jpeg_without_slack
from medimg_cli.privacy.removal.profile import CannotDeidentify, CleanFile
from medimg_cli.privacy.removal.raster_rewrite import (
    EXIF_ORIENTATION,
    bmp_without_metadata,
    jpeg_without_metadata,
    png_without_metadata,
    webp_without_metadata,
    webp_without_slack,
)
from medimg_cli.privacy.removal.tiff_rewrite import tiff_without_metadata

# The plug-ins by themselves, not `Image.open`: that one would guess the format again.
_OPENERS: dict[str, type[Any]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
RASTER_FORMATS = frozenset(_OPENERS)
_WRITERS = {"jpeg": jpeg_without_metadata, "webp": webp_without_metadata}
_WITHOUT_SLACK = {"jpeg": jpeg_without_slack, "webp": webp_without_slack}
_EVERY = frozenset(range(1 << 16))
_PROFILE = "ICC "
_UPRIGHT = 1


def deidentify_raster(content: bytes, image_format: str) -> CleanFile:
    """Return a picture with its pixels, how it is turned and its colour profile, and nothing else.

    A profile is written anew with what colours are computed from. The samples are copied as they are coded, so no
    quality is lost, and every page decodes to the same pixels as before. Of a file that holds further pictures
    behind its first (MPO), the first remains.

    Raises:
        CannotDeidentify: it is damaged, too large to decode, or something is left.
    """
    with quiet_decoding():
        return _deidentified(content, image_format)


def _deidentified(content: bytes, image_format: str) -> CleanFile:
    try:
        clean = _rewritten(content, image_format, _orientation(content, image_format))
        if _pixels(clean, image_format) != _pixels(content, image_format):
            raise CannotDeidentify("the pixels would not be the same")
        if image_format in _WITHOUT_SLACK:
            clean = _WITHOUT_SLACK[image_format](clean, lambda held: _pixels(held, image_format))
        texts = read_metadata_of(clean)
        left = [
            text.place
            for text in texts
            if not text.place.startswith(_PROFILE)
            and not ("Orientation" in text.place and text.text.isdigit())
        ]
    except UnreadableMetadata as error:
        raise CannotDeidentify(str(error)) from error
    except CannotDeidentify:
        raise
    except Exception as error:  # Pillow raises anything on damaged bytes
        raise CannotDeidentify(f"a damaged picture ({type(error).__name__})") from error
    if left:
        raise CannotDeidentify(f"still there after cleaning: {left[0]}")
    return CleanFile(clean, Counter({"removed": max(0, _count(content) - len(texts))}))


def _count(content: bytes) -> int:
    """Return how many entries stand beside the pixels; damaged ones, which go as well, count as one."""
    try:
        return len(read_metadata_of(content))
    except UnreadableMetadata:
        return 1


def _rewritten(content: bytes, image_format: str, orientation: int) -> bytes:
    def used(page: int) -> frozenset[int]:
        picture = _page(content, image_format, page)
        return _entries_used(picture) if picture.mode in ("P", "PA") else _EVERY

    if image_format == "tiff":
        return tiff_without_metadata(content, lambda page: _bilevel_page(content, page), used)
    if image_format == "bmp":
        return bmp_without_metadata(content, used)
    if image_format == "png":
        return png_without_metadata(content, orientation, used)
    return _WRITERS[image_format](content, orientation)


def _page(content: bytes, image_format: str, page: int) -> Image.Image:
    picture: Image.Image = _OPENERS[image_format](io.BytesIO(content))
    if page:
        picture.seek(page)
    return picture


def _entries_used(picture: Image.Image) -> frozenset[int]:
    """Return the entries of its palette that a picture's pixels name."""
    return frozenset(
        np.unique(np.asarray(picture.getchannel("P") if picture.mode == "PA" else picture)).tolist()
    )


def _bilevel_page(content: bytes, page: int) -> bytes:
    picture = _page(content, "tiff", page)
    if picture.mode != "1":
        raise CannotDeidentify("a TIFF file of fax codes in shades of grey")
    return picture.tobytes()


def _orientation(content: bytes, image_format: str) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none that can be read."""
    if image_format in ("bmp", "tiff"):  # a BMP has none, a TIFF keeps it as a tag
        return _UPRIGHT
    try:
        value = _OPENERS[image_format](io.BytesIO(content)).getexif().get(EXIF_ORIENTATION, _UPRIGHT)
    except Exception:  # a damaged EXIF block makes Pillow raise anything, and the picture itself may be whole
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _pixels(content: bytes, image_format: str) -> list[str]:
    """Return a hash of each page: size, mode, palette and samples; of TIFF what Pillow cannot read by tifffile."""
    try:
        return _seen(content, image_format)
    except (OSError, SyntaxError):
        if image_format != "tiff":
            raise
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        if sum(page.size for page in file.pages) > (Image.MAX_IMAGE_PIXELS or 0) * 2:
            raise CannotDeidentify("too many pixels to decode")
        decoded = [page.asarray() for page in file.pages]
    return [
        hashlib.sha256(f"{one.shape} {one.dtype}".encode() + one.tobytes()).hexdigest() for one in decoded
    ]


def _colours(picture: Image.Image) -> list[list[int]]:
    """Return the colours that the pixels of an indexed picture name."""
    palette = picture.getpalette() if picture.mode in ("P", "PA") else None
    return [palette[3 * one : 3 * one + 3] for one in sorted(_entries_used(picture))] if palette else []


def _seen(content: bytes, image_format: str) -> list[str]:
    picture: Image.Image = _OPENERS[image_format](io.BytesIO(content))
    found = []
    for page in range(int(getattr(picture, "n_frames", 1))):
        if page:
            picture.seek(page)
        if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or 0) * 2:
            raise CannotDeidentify(f"{picture.width} x {picture.height} pixels are too many to decode")
        picture.load()
        digest = hashlib.sha256(f"{picture.size} {picture.mode} {_colours(picture)}".encode())
        digest.update(picture.tobytes())
        found.append(digest.hexdigest())
    return found
