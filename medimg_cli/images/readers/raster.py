"""JPEG, PNG, TIFF, BMP and WebP, by Pillow."""

import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from medimg_cli.images.decoding import foreign_decoder, refuse_huge
from medimg_cli.images.greyscale import show_samples
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey, frame_number
from medimg_cli.images.readers import READERS, Content, Reader

# The plug-ins by themselves, not `Image.open`: that one would guess the format again, knows dozens nobody asked
# for, and guards against huge images by a global of the whole process.
_OPENERS: dict[str, type[Any]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_BLOCK_BYTES = (
    1 << 20
)  # a JPEG reaches its decoder in one piece; 64 KiB at a time cost a call and a copy each
_SCALES = (2, 4, 8)  # what libjpeg computes from the low frequencies alone
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
_TURNED_ASIDE = (5, 6, 7, 8)


def read_raster(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a page of a picture, the first by default, upright, transparency on black, grey as one channel.

    16-bit grey keeps its depth (uint16); floating-point grey is stretched over its robust range. A JPEG may be
    decoded at 1/2, 1/4 or 1/8 (see `ReadOptions.enough_px`): of its blocks of frequencies only the low ones are
    computed, which also smooths. Facts: `orientation` (the EXIF value that was applied), `alpha`, `frame` of a
    file of several pages, `window`, `decoded_at`.

    Raises:
        UnreadableImage: damaged, truncated, too large, a colour space Pillow cannot turn into RGB, no such page.
    """
    with foreign_decoder():
        if content.image_format == "png":
            _refuse_damaged_png(content.stream)
        picture, facts = _open_page(content, member, options.most_pixels)
        width_px, height_px = picture.size
        wide = _is_reduced_from_16_bits(picture)  # asked first: reading a PNG's EXIF loads its pixels
        orientation = _orientation(picture)
        scale = _shrink(picture, options)
        if scale > 1:
            facts["decoded_at"] = f"1/{scale}"
        picture.load()
        if orientation in _TURNS:
            facts["orientation"] = str(orientation)
            if content.image_format != "tiff":  # Pillow's TIFF plug-in has turned it while loading
                picture = picture.transpose(_TURNS[orientation])
        if orientation in _TURNED_ASIDE:
            width_px, height_px = height_px, width_px
        pixels, bits, more = _pixels_of(picture)
        extent = None if scale == 1 else (width_px / scale, height_px / scale)
        return DecodedImage(pixels, 16 if wide else bits, facts | more, extent)


def count_pages(content: Content, member: str | None) -> int:
    """Return how many pages a TIFF has, 1 of any other picture and where a page is named already."""
    if content.image_format != "tiff" or member is not None:
        return 1
    with foreign_decoder():
        return int(TiffImagePlugin.TiffImageFile(content.stream).n_frames)


def _open_page(
    content: Content, member: str | None, most_pixels: int | None
) -> tuple[Image.Image, dict[str, str]]:
    """Return the page a member names, opened and not yet decoded, and the fact `frame` where there are several."""
    content.stream.seek(0)
    picture: Image.Image = _OPENERS[content.image_format](content.stream)
    pages = int(getattr(picture, "n_frames", 1))
    page = 0 if member is None else frame_number(member)
    if page is None or page >= pages:
        raise UnreadableImage(f"the picture has no {member}; its pages are page/0 to page/{pages - 1}")
    if page:
        picture.seek(page)
    refuse_huge(*picture.size, most_pixels)
    return picture, {"frame": f"{page + 1} of {pages}"} if pages > 1 else {}


def _shrink(picture: Image.Image, options: ReadOptions) -> int:
    """Let a JPEG be decoded at the least of 1/1, 1/2, 1/4 and 1/8 that leaves enough; return the divisor."""
    enough_px = options.enough_px
    if enough_px is None or not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return 1
    side_px = min(picture.size) if options.enough_side == "shorter" else max(picture.size)
    narrow_px = min(
        picture.size
    )  # Pillow picks the scale by the size it is asked for, which may not be nothing
    picture.decodermaxblock = _BLOCK_BYTES
    scale = max(
        (scale for scale in _SCALES if side_px >= enough_px * scale and narrow_px >= scale), default=1
    )
    if scale > 1:  # the mode stays as it is: whether a picture is grey is told as in a whole decode
        picture.draft(picture.mode, (picture.width // scale, picture.height // scale))
    return scale


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
        if name and not name.isalpha():
            raise UnreadableImage("the file is damaged: rubbish where a chunk should begin")
        body, checksum = stream.read(length), stream.read(4)
        if len(checksum) < 4:
            raise UnreadableImage("the file is truncated")
        is_critical = name[:1].isupper()
        if is_critical and zlib.crc32(name + body) != int.from_bytes(checksum, "big"):
            raise UnreadableImage("the file is damaged: a checksum in it is wrong")


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
        grey = picture if picture.mode == "L" else picture.convert("L")
        return np.asarray(grey, dtype=np.uint8)[..., None], bits, {}
    colour = picture if picture.mode == "RGB" else picture.convert("RGB")
    return collapse_grey(np.asarray(colour, dtype=np.uint8)), bits, {}


def _on_black(rgba: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, dict[str, str]]:
    """Return (H, W, 4) laid on black, the background of medical displays; colour under full cover stays."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return collapse_grey(colour), 8, {}
    laid = (colour.astype(np.uint16) * alpha + 127) // 255
    return collapse_grey(laid.astype(np.uint8)), 8, {"alpha": "on black"}


READERS.register("raster")(
    Reader(formats=tuple(_OPENERS), needs=("pillow",), read=read_raster, count=count_pages)
)
