"""JPEG, PNG, TIFF, BMP and WebP, by Pillow."""

import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from medimg_cli.core.image import HEAD_BYTES, DecodedImage, UnreadableImage, collapse_grey, sniff_format
from medimg_cli.readers import READERS, Reader
from medimg_cli.readers.decoding import foreign_decoder, refuse_huge
from medimg_cli.readers.intensities import show_samples

# The plug-ins by themselves, not `Image.open`: that one would guess the format again, knows dozens nobody asked
# for, and guards against huge images by a global of the whole process.
_OPENERS: dict[str, type[Any]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_EXIF_ORIENTATION = 0x0112  # Exif 2.32, 4.6.4: which corner of the picture the first sample is
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_raster(path: Path, member: str | None) -> DecodedImage:  # noqa: ARG001 -- every reader's signature
    """Return the first page of a picture, turned upright, transparency on black, grey kept as one channel.

    16-bit grey keeps its depth (uint16); floating-point grey is stretched over its robust range. Facts:
    `orientation` (the EXIF value that was applied), `alpha`, `frame` of a file of several pages, `window`.

    Raises:
        UnreadableImage: damaged, truncated, too large, or a colour space Pillow cannot turn into RGB.
    """
    with foreign_decoder(), path.open("rb") as stream:
        image_format = sniff_format(stream.read(HEAD_BYTES))
        if image_format == "png":
            _refuse_damaged_png(stream)
        stream.seek(0)
        picture: Image.Image = _OPENERS[str(image_format)](stream)
        refuse_huge(*picture.size)
        facts = _page_facts(picture)
        wide = _is_reduced_from_16_bits(picture)  # asked first: reading a PNG's EXIF loads its pixels
        orientation = _orientation(picture)
        picture.load()
        if orientation in _TURNS:
            facts["orientation"] = str(orientation)
            if image_format != "tiff":  # Pillow's TIFF plug-in has turned it while loading
                picture = picture.transpose(_TURNS[orientation])
        pixels, bits, more = _pixels_of(picture)
        return DecodedImage(pixels, 16 if wide else bits, facts | more)


def _refuse_damaged_png(stream: BinaryIO) -> None:
    """Compare the checksums of a PNG's critical chunks, which Pillow leaves out for the pixels themselves.

    Raises:
        UnreadableImage: one is wrong or the file ends early (PNG third edition, 5.3).
    """
    stream.seek(8)
    name = b""
    while name != b"IEND":
        head = stream.read(8)
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        body, checksum = stream.read(length), stream.read(4)
        if len(checksum) < 4:
            raise UnreadableImage("the file is truncated")
        is_critical = name[:1].isupper()
        if is_critical and zlib.crc32(name + body) != int.from_bytes(checksum, "big"):
            raise UnreadableImage("the file is damaged: a checksum in it is wrong")


def _page_facts(picture: Image.Image) -> dict[str, str]:
    pages = int(getattr(picture, "n_frames", 1))
    return {"frame": f"1 of {pages}"} if pages > 1 else {}


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none that can be read."""
    try:
        value = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block makes Pillow raise anything, and the picture itself may be whole
        return 1
    return value if isinstance(value, int) else 1


def _is_reduced_from_16_bits(picture: Image.Image) -> bool:
    """Return whether the file has 16 bits a colour sample, of which Pillow keeps the upper 8."""
    return picture.mode in ("RGB", "RGBA", "LA") and any(
        ";16" in str(tile[3]) for tile in getattr(picture, "tile", ())
    )


def _pixels_of(picture: Image.Image) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, dict[str, str]]:
    """Return (pixels (H, W, C), bits a sample had, facts) of a loaded picture of any mode."""
    if picture.mode == "F" or picture.mode.startswith("I"):  # I, I;16, I;16B: one channel of wide samples
        pixels, bits, facts = show_samples(np.asarray(picture))
        return pixels[..., None], bits, facts
    if picture.has_transparency_data:
        return _on_black(np.asarray(picture.convert("RGBA")))
    bits = 1 if picture.mode == "1" else 8
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"), dtype=np.uint8)[..., None], bits, {}
    return collapse_grey(np.asarray(picture.convert("RGB"), dtype=np.uint8)), bits, {}


def _on_black(rgba: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, dict[str, str]]:
    """Return (H, W, 4) laid on black, the background of medical displays; colour under full cover stays."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return collapse_grey(colour), 8, {}
    laid = (colour.astype(np.uint16) * alpha + 127) // 255
    return collapse_grey(laid.astype(np.uint8)), 8, {"alpha": "on black"}


READERS.register("raster")(Reader(formats=tuple(_OPENERS), needs=("pillow",), read=read_raster))
