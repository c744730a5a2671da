"""JPEG, PNG, WebP and BMP files rewritten with nothing but what their pixels need; no pixel is encoded anew."""

import re
import struct
import zlib
from collections.abc import Iterator

EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1

# ITU-T T.81 B.1.1.3: in entropy-coded data FF is followed by 00, a restart marker or more FF.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _COM, _APP0, _APP1, _APP2, _APP14, _APP15 = (
    0xD8,
    0xD9,
    0xDA,
    0xFE,
    0xE0,
    0xE1,
    0xE2,
    0xEE,
    0xEF,
)
_ALONE = frozenset([0x01, _SOI, *range(0xD0, 0xD8)])
_JFIF_BYTES, _ADOBE_BYTES = 14, 12

# PNG third edition §11: the chunks decoders need for the pixels and their colour, and those of animations.
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT".split()
)
_WEBP_KEPT = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"])
# RFC 9649 §2.7.1: the bits of VP8X that announce a profile, EXIF and XMP.
_WEBP_ICC, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x08, 0x04
_BMP_FILE_BYTES, _BMP_CORE, _BMP_V5 = 14, 12, 124
_BMP_SRGB = b"BGRs"


class CannotRewrite(Exception):  # noqa: N818 -- the caller names the file with this reason
    """Raised for a picture whose parts cannot be told apart; its text is the reason, one line."""


def jpeg_without_metadata(content: bytes, orientation: int, *, profile: bool) -> bytes:
    """Return a JPEG with its coding segments and scans alone, to the end of its first picture.

    JFIF (without its thumbnail), Adobe's colour transform and, with `profile`, the colour profile stay, as they say
    how the samples are shown.
    """
    parts = [b"\xff\xd8"]
    for marker, held in _jpeg_segments(content):
        if marker == _APP0 and held.startswith(b"JFIF\0") and len(held) >= _JFIF_BYTES:
            parts.append(_segment(_APP0, held[: _JFIF_BYTES - 2] + b"\0\0"))
            parts += _jpeg_orientation(orientation)
            orientation = _UPRIGHT
        elif marker == _APP14 and held.startswith(b"Adobe") and len(held) >= _ADOBE_BYTES:
            parts.append(_segment(_APP14, held[:_ADOBE_BYTES]))
        elif marker == _APP2 and profile and held.startswith(b"ICC_PROFILE\0"):
            parts.append(_segment(_APP2, held))
        elif marker == _SOS:
            parts.append(held)
        elif not (_APP0 <= marker <= _APP15 or marker == _COM):
            parts.append(_segment(marker, held))
    if orientation != _UPRIGHT:
        parts[1:1] = _jpeg_orientation(orientation)
    return b"".join([*parts, b"\xff\xd9"])


def png_without_metadata(content: bytes, orientation: int, *, profile: bool) -> bytes:
    """Return a PNG with the chunks its pixels need."""
    parts = [content[:8]]
    for kind, held in _png_chunks(content):
        if kind in _PNG_KEPT or (profile and kind == b"iCCP"):
            parts.append(_chunk(kind, held))
        if kind == b"IHDR" and orientation != _UPRIGHT:
            parts.append(_chunk(b"eXIf", exif_orientation(orientation)))
    return b"".join(parts)


def webp_without_metadata(content: bytes, orientation: int, *, profile: bool) -> bytes:
    """Return a WebP with the chunks its pixels need."""
    kept = _WEBP_KEPT | ({b"ICCP"} if profile else frozenset())
    parts = []
    for kind, held in _webp_chunks(content):
        if kind == b"VP8X":
            flags = held[0] & ~(_WEBP_XMP | _WEBP_EXIF | (0 if profile else _WEBP_ICC))
            if orientation != _UPRIGHT:
                flags |= _WEBP_EXIF
            held = bytes([flags]) + held[1:10]
        if kind in kept:
            parts.append(kind + struct.pack("<I", len(held)) + held + b"\0" * (len(held) % 2))
    if orientation != _UPRIGHT:
        exif = exif_orientation(orientation)
        parts.append(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
    body = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_without_metadata(content: bytes) -> bytes:
    """Return a BMP to the end of its pixels, what lies between its parts zeroed and its colour profile gone."""
    if len(content) < _BMP_FILE_BYTES + _BMP_CORE:
        raise CannotRewrite("the header of the BMP file breaks off")
    pixels, info = struct.unpack_from("<II", content, 10)
    table_end, pixel_bytes = _bmp_sizes(content, info)
    end = pixels + pixel_bytes
    if end > len(content) or table_end > pixels:
        raise CannotRewrite("the BMP file breaks off before its end")
    head = bytearray(content[:table_end])
    head[2:10] = struct.pack("<IHH", end, 0, 0)
    if info >= _BMP_V5:
        head[14 + 56 : 14 + 60] = _BMP_SRGB
        head[14 + 112 : 14 + 124] = bytes(12)
    return bytes(head) + bytes(pixels - table_end) + content[pixels:end]


def exif_orientation(orientation: int) -> bytes:
    """Return an EXIF block (a little-endian TIFF header with one entry) that says how the picture is turned."""
    entry = struct.pack("<HHIHH", EXIF_ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _jpeg_orientation(orientation: int) -> list[bytes]:
    return [] if orientation == _UPRIGHT else [_segment(_APP1, b"Exif\0\0" + exif_orientation(orientation))]


def _segment(marker: int, held: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(held) + 2) + held


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, content without length) up to the end of the picture; a scan whole, with its data."""
    at = 2
    while True:
        found = _MARKER.search(content, at)
        if found is None:
            raise CannotRewrite("the JPEG file breaks off before its end")
        marker, start = content[found.end() - 1], found.end()
        if marker == _EOI:
            return
        at = start
        if marker in _ALONE:
            continue
        if start + 2 > len(content):
            raise CannotRewrite("the JPEG file breaks off before its end")
        (size,) = struct.unpack_from(">H", content, start)
        at = start + max(size, 2)
        if marker == _SOS:
            following = _MARKER.search(content, at)
            if following is None:
                raise CannotRewrite("the JPEG file breaks off before its end")
            at = following.start()
            yield marker, content[found.start() : at]
        else:
            yield marker, content[start + 2 : at]


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + size > len(content):
            break
        yield kind, content[at + 8 : at + 8 + size]
        at += 12 + size
        if kind == b"IEND":
            return
    raise CannotRewrite("the PNG file breaks off before its end")


def _chunk(kind: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    (whole,) = struct.unpack_from("<I", content, 4)
    end, at = 8 + whole, 12
    if end > len(content):
        raise CannotRewrite("the WebP file breaks off before its end")
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", content, at)
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _bmp_sizes(content: bytes, info: int) -> tuple[int, int]:
    """Return where header, masks and palette end, and how many bytes the pixels take."""
    header_end = _BMP_FILE_BYTES + info
    if info == _BMP_CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
        colours = 3 << bits if bits <= 8 else 0
        return header_end + colours, (width * bits + 31) // 32 * 4 * height
    width, height, _, bits, compression, size = struct.unpack_from("<iiHHII", content, 18)
    (used,) = struct.unpack_from("<I", content, 46)
    masks = {3: 12, 6: 16}.get(compression, 0) if info == 40 else 0
    colours = 4 * (used or (1 << bits if bits <= 8 else 0))
    plain = (abs(width) * bits + 31) // 32 * 4 * abs(height)
    return header_end + masks + colours, plain if compression in (0, 3, 6) else size
