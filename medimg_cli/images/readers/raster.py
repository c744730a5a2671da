"""JPEG, PNG, GIF, BMP, WebP, JPEG 2000 and AVIF by Pillow, what it cuts to 8 bits by imagecodecs; HEIC by pillow-heif."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from medimg_cli.images.decoding import (
    codestream_claims,
    foreign_decoder,
    jpeg_scans,
    refuse_cut_jpeg,
    refuse_huge,
)
from medimg_cli.images.greyscale import on_black, show_samples, spread_to_uint16
from medimg_cli.images.image import (
    TURNED_ASIDE,
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    collapse_grey,
    frame_number,
    upright,
)
from medimg_cli.images.readers import READERS, Content, Reader


def _open_heic(stream: BinaryIO) -> Image.Image:
    try:
        heif = import_module("pillow_heif")
    except ImportError as error:
        raise UnreadableImage("HEIC, which needs a library: pip install 'medimg[heic]'") from error
    picture: Image.Image = heif.open_heif(stream).to_pillow()
    return picture


# The plug-ins by themselves, not `Image.open`: that one would guess the format again, knows dozens nobody asked
# for, and guards against huge images by a global of the whole process.
_OPENERS: dict[str, Any] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "heic": _open_heic,
}
_END = b"\xff\xd9"  # end of image, T.81 B.1.1.3, and of codestream, T.800 A.4.4
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7, PNG third edition §8.1: first column and row, and steps of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK_BYTES = (
    1 << 20
)  # a JPEG reaches its decoder in one piece; 64 KiB at a time cost a call and a copy each
_JP2_SPACES = (0, 16, 17, 18)  # none named, sRGB, grey, sYCC: T.800 I.5.3.3
_MOST_JPEG_BYTES = 256 << 20  # of what may be behind it, nothing is looked at
_SCALES = (2, 4, 8)  # what libjpeg computes from the low frequencies alone
_EXIF, _EXIF_ORIENTATION = b"Exif\0\0", 0x0112


def read_raster(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a picture, upright, transparency on black, grey as one channel.

    More than 8 bits keep their depth (uint16, spread by the bits in use). A JPEG may be decoded at 1/2, 1/4 or 1/8
    (see `ReadOptions.enough_px`): of its blocks of frequencies only the low ones are computed, which also smooths.
    A PNG's gamma and an ICC profile are not applied: samples are taken as they are. Facts: `orientation` (the EXIF
    value that was applied), `alpha`, `window`, `decoded_at`, and `frame` of an animation or a JPEG of several pictures, whose first it is.

    Raises:
        UnreadableImage: damaged, truncated, too large, a colour space Pillow cannot turn into RGB, no such page.
    """
    with foreign_decoder():
        if content.image_format == "png":
            _refuse_damaged_png(content.stream)
        content.stream.seek(0)
        if member is not None and frame_number(member) != 0:
            raise UnreadableImage(f"the picture has no {member}; its pages are page/0 to page/0")
        try:
            picture: Image.Image = _OPENERS[content.image_format](content.stream)
        except SyntaxError:  # Pillow knows JPEGs of 8 bits
            deep = _deep_jpeg(content, options.most_pixels)
            if deep is None:
                raise
            return deep
        refuse_huge(*picture.size, options.most_pixels)
        width_px, height_px = picture.size
        facts: dict[str, str] = {}
        deep_pixels = _deep_samples(picture, content)  # asked first: reading a PNG's EXIF loads its pixels
        orientation = _orientation(picture.getexif)
        scale = 1
        if deep_pixels is not None:
            samples, claimed = deep_pixels
            pixels, bits, facts = _of_deep(samples)
            bits = claimed or bits
        else:
            scale = _shrink(picture, options)
            pixels, bits, facts = _loaded(picture, content)
        if scale > 1:
            facts["decoded_at"] = f"1/{scale}"
        if 1 < orientation <= 8:
            facts["orientation"] = str(orientation)
            pixels = upright(pixels, orientation)
        if orientation in TURNED_ASIDE:
            width_px, height_px = height_px, width_px
        extent = None if scale == 1 else (width_px / scale, height_px / scale)
        return DecodedImage(pixels, bits, facts, extent)


def _deep_samples(picture: Image.Image, content: Content) -> tuple[NDArray[Any], int] | None:
    """Return (samples (H, W) or (H, W, C), bits of one or 0 where the bits in use tell) of what Pillow would cut.

    None where it takes them as they are.

    Those are colour and transparency of 16 bits in PNG, and more than 8 bits in JPEG 2000.
    """
    if content.image_format == "png":
        is_cut = picture.mode in ("RGB", "RGBA", "LA") and any(
            ";16" in str(tile[3]) for tile in getattr(picture, "tile", ())
        )
        # Pillow compares a transparent grey of 2 or 4 bits with samples that are spread over 8.
        bits = [str(tile[3]) for tile in getattr(picture, "tile", ())]
        spread = picture.mode == "L" and any(mode in ("L;2", "L;4") for mode in bits)
        if is_cut or ((spread or picture.mode.startswith("I")) and "transparency" in picture.info):
            content.stream.seek(0)
            return np.asarray(imagecodecs.png_decode(content.stream.read())), 0
    if content.image_format == "jp2":
        content.stream.seek(0)
        data = content.stream.read()
        claims = codestream_claims(data)
        header, codestream = _boxes_of_jp2(data)
        if claims is None or not codestream.rstrip(b"\0").endswith(_END):
            raise UnreadableImage("the file is truncated")
        refuse_huge(*claims[:2])
        space = int.from_bytes(header.partition(b"colr\1")[2][2:6], "big")
        if space not in _JP2_SPACES:
            raise UnreadableImage(f"JPEG 2000 in colour space {space}, which is not converted")
        if claims[2] != 8 and b"pclr" not in header:
            samples = np.asarray(imagecodecs.jpeg2k_decode(data))
            # Of a depth that is no whole byte the header tells the range, as no bits in use would.
            known = samples.dtype.kind == "u" and claims[2] < 16
            return (spread_to_uint16(samples, claims[2]), claims[2]) if known else (samples, 0)
        content.stream.seek(0)
    return None


def _boxes_of_jp2(data: bytes) -> tuple[bytes, bytes]:
    """Return what JP2's header and codestream boxes hold (T.800 I.4); of a bare codestream there is no header."""
    place, found = 0, {b"jp2h": b"", b"jp2c": data if data[:2] == b"\xff\x4f" else b""}
    while place + 8 <= len(data) and not found[b"jp2c"]:
        length, kind, begin = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8], 8
        if length == 1:
            length, begin = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        end = place + max(length, begin) if length else len(data)
        found[kind] = data[place + begin : end]
        place = end
    return found[b"jp2h"], found[b"jp2c"]


def _of_deep(samples: NDArray[Any]) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return (pixels (H, W, 1 or 3), bits a sample had, facts) of samples with 1 to 4 channels, the even one cover."""
    samples = samples if samples.ndim == 3 else samples[..., None]
    covered = samples.shape[2] in (2, 4)
    pixels, bits, facts = show_samples(samples[..., :-1] if covered else samples)
    if covered and samples[..., -1].min() < np.iinfo(samples.dtype).max:
        pixels, facts = on_black(pixels, samples[..., -1:]), facts | {"alpha": "on black"}
    return collapse_grey(pixels), bits, facts


def _deep_jpeg(content: Content, most_pixels: int | None) -> DecodedImage | None:
    """Return a JPEG of more than 8 bits, or a lossless one, None where it is neither."""
    content.stream.seek(0)
    data = content.stream.read()
    claims = codestream_claims(data)
    if content.image_format != "jpeg" or claims is None or not 8 < claims[2] <= 16:
        return None
    refuse_huge(*claims[:2], most_pixels)
    if _END not in data:
        raise UnreadableImage("the file is truncated")
    samples = np.asarray(imagecodecs.jpeg_decode(data))
    samples = samples if samples.ndim == 3 else samples[..., None]
    refuse_cut_jpeg(lambda: data, samples, lambda part: bytes(imagecodecs.jpeg_decode(part)))
    exif = Image.Exif()
    with suppress(Exception):  # as in `_orientation`
        exif.load(data[data.index(_EXIF) :])
    orientation = _orientation(lambda: exif)
    facts = {"orientation": str(orientation)} if 1 < orientation <= 8 else {}
    facts |= {"note": note} if (note := jpeg_scans(data)[1]) else {}
    pixels = upright(collapse_grey(spread_to_uint16(samples, claims[2])), orientation)
    return DecodedImage(pixels, claims[2], facts)


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


def _loaded(picture: Image.Image, content: Content) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return (pixels (H, W, C), bits a sample had, facts) of an opened picture, of which nothing is missing."""
    palette = picture.palette if picture.mode == "P" else None
    # Told before it is loaded, as loading fills it up.
    colours = 256 if palette is None else len(palette.palette) // len(palette.rawmode or palette.mode)
    picture.load()
    if palette is not None and int(np.asarray(picture).max()) >= colours:
        raise UnreadableImage("a palette image whose palette is too short")
    if content.image_format == "png" and not np.asarray(picture)[-1].any():  # as rows that never came are
        _refuse_short_png(content.stream)
    pixels, bits, facts = _pixels_of(picture)
    if content.image_format == "jpeg":
        content.stream.seek(0)
        data = content.stream.read(_MOST_JPEG_BYTES)
        scans, note = jpeg_scans(data)
        facts = facts | ({"note": note} if note else {})
        refuse_cut_jpeg(lambda: data, pixels if scans == 1 else None)
    frames = max(getattr(picture, "n_frames", 1), _pictures_of_mpo(picture))
    if frames > 1:
        facts["frame"] = f"1 of {frames}"
    return pixels, bits, facts


def _pictures_of_mpo(picture: Image.Image) -> int:
    """Return how many pictures a JPEG says that its file holds (CIPA DC-007, 5.2.3.2): views, previews, a map of depth."""
    try:
        return int(picture._getmp()[0xB001]) if "mp" in picture.info else 1  # type: ignore[attr-defined]
    except Exception:  # a damaged list, and the picture itself may be whole
        return 1


def _refuse_damaged_png(stream: BinaryIO) -> None:
    """Compare the checksums of a PNG's critical chunks, which Pillow leaves out for the pixels themselves.

    Raises:
        UnreadableImage: one is wrong or the file ends early (PNG third edition, 5.3).
    """
    for name, body, checksum in _png_chunks(stream):
        if name and not name.isalpha():
            raise UnreadableImage("the file is damaged: rubbish where a chunk should begin")
        if len(checksum) < 4:
            raise UnreadableImage("the file is truncated")
        if name == b"CgBI":
            raise UnreadableImage(
                "a PNG of Apple's own kind (CgBI), which is none by the standard: convert it first"
            )
        is_critical = name[:1].isupper()
        if is_critical and zlib.crc32(name + body) != int.from_bytes(checksum, "big"):
            raise UnreadableImage("the file is damaged: a checksum in it is wrong")


def _refuse_short_png(stream: BinaryIO) -> None:
    """Refuse a PNG whose compressed data are whole but fewer than its rows need: Pillow leaves them at zero without a word."""
    missing, inflating = 0, zlib.decompressobj()
    for name, body, _ in _png_chunks(stream):
        if name == b"IHDR":
            missing = png_bytes(body)
        while name == b"IDAT" and body and missing > 0 and not inflating.eof:
            missing -= len(inflating.decompress(body, _BLOCK_BYTES))
            body = inflating.unconsumed_tail
    if missing > 0:
        raise UnreadableImage("the file is truncated: it holds fewer rows than it says")


def _png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, body and checksum of a PNG's chunks to IEND; of a file that ends early the last ones are short."""
    stream.seek(8)
    head = b" "
    while head and head[4:] != b"IEND":
        head = stream.read(8)
        yield head[4:], stream.read(int.from_bytes(head[:4], "big")), stream.read(4)


def png_bytes(header: bytes) -> int:
    """Return how many bytes the filtered rows of a PNG take by its IHDR chunk, interlaced ones too."""
    width_px, height_px, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    bits = depth * _PNG_SAMPLES.get(colour, 0)
    total = 0
    for left, top, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width_px - left) // step_x), -(-(height_px - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _orientation(read: Callable[[], Image.Exif]) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none that can be read."""
    try:
        value = read().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block makes Pillow raise anything, and the picture itself may be whole
        return 1
    return value if isinstance(value, int) else 1


def _pixels_of(picture: Image.Image) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, dict[str, str]]:
    """Return (pixels (H, W, C), bits a sample had, facts) of a loaded picture of any mode."""
    if picture.mode == "F" or picture.mode.startswith("I"):  # I, I;16, I;16B: one channel of wide samples
        pixels, bits, facts = show_samples(np.asarray(picture))
        return pixels[..., None], bits, facts
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA"))
        cover = rgba[..., 3:]
        if cover.min() == 255:
            return collapse_grey(rgba[..., :3]), 8, {}
        return collapse_grey(on_black(rgba[..., :3], cover)), 8, {"alpha": "on black"}
    bits = 1 if picture.mode == "1" else 8
    if picture.mode in ("1", "L"):
        grey = picture if picture.mode == "L" else picture.convert("L")
        return np.asarray(grey, dtype=np.uint8)[..., None], bits, {}
    colour = picture if picture.mode == "RGB" else picture.convert("RGB")
    return collapse_grey(np.asarray(colour, dtype=np.uint8)), bits, {}


READERS.register("raster")(Reader(formats=tuple(_OPENERS), needs=("pillow", "imagecodecs"), read=read_raster))
