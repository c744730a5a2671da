"""JPEG, PNG, WebP and BMP files rewritten with nothing but what their pixels need; no pixel is encoded anew."""

import struct
import zlib
from collections.abc import Callable, Collection, Sequence

from medimg_cli.images.readers.raster import png_bytes
from medimg_cli.privacy.metadata.containers import bmp_layout, broken, png_chunks, webp_chunks
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata, inflate, reads_like_text
from medimg_cli.privacy.removal.codestreams import (
    bare_deflate,
    bare_jpeg,
    jpeg_profile,
    jpeg_segment,
)
from medimg_cli.privacy.removal.colour_profile import clean_profile
from medimg_cli.privacy.removal.last_samples import around, to_last_sample, vp8_partitions

Used = Callable[[int], Collection[int]]
EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1
_APP1, _APP2 = 0xE1, 0xE2
_PROFILE_PART = 65_000

# PNG third edition §11: chunks of the colour and the resolution, each with the form of its numbers for `struct`.
_PNG_NUMBERS = {
    b"IHDR": ">IIBBBBB",
    b"cHRM": ">8I",
    b"gAMA": ">I",
    b"sRGB": ">B",
    b"cICP": ">4B",
    b"pHYs": ">IIB",
}
# H.273 names colours by lower numbers; chromaticities and pixels a metre whose bytes are letters are higher.
_PNG_LIMITS = {b"sRGB": 4, b"cICP": 32, b"cHRM": 1 << 22, b"pHYs": 1 << 22}
NUMBER_LIMIT = 1 << 28  # above stand numbers whose bytes are letters, and no gamma or resolution
_INDEXED = 3
_WEBP_KEPT = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH"])
# RFC 9649 §2.7.1: the bits of VP8X that announce a profile, transparency and EXIF.
_WEBP_ICC, _WEBP_ALPHA, _WEBP_EXIF = 0x20, 0x10, 0x08
_BMP_CORE, _BMP_PLAIN, _BMP_V4, _BMP_V5 = 12, 40, 108, 124
_BMP_SRGB = b"BGRs"


def jpeg_without_metadata(content: bytes, orientation: int) -> bytes:
    """Return a JPEG of its first picture alone, how it is turned and its colours stated as before."""
    more = b""
    if orientation != _UPRIGHT:
        more += jpeg_segment(_APP1, b"Exif\0\0" + exif_orientation(orientation))
    profile = clean_profile(jpeg_profile(content)) or b""
    parts = [profile[at : at + _PROFILE_PART] for at in range(0, len(profile), _PROFILE_PART)]
    for number, part in enumerate(parts, 1):
        more += jpeg_segment(_APP2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
    return bare_jpeg(content, more)


def png_without_metadata(content: bytes, orientation: int, used: Used) -> bytes:
    """Return a PNG with the chunks its pixels need, cut to what they need of them.

    Args:
        used: page number → the entries of the palette that its pixels name; asked where there is one.

    Raises:
        UnreadableMetadata: it is damaged or animated.
    """
    parts, samples, header = [content[:8]], b"", b""
    for kind, start, end in png_chunks(content):
        held = content[start:end]
        if kind == b"acTL":
            raise UnreadableMetadata("an animated PNG: write its pictures as files of their own")
        if kind == b"IDAT":
            samples += held
        elif kind == b"IEND":
            parts += [_chunk(b"IDAT", bare_deflate(samples, png_bytes(header))), _chunk(kind, b"")]
        elif kept := _png_kept(kind, held, header, used):
            parts.append(_chunk(kind, kept))
        if kind == b"IHDR":
            header = held
            if orientation != _UPRIGHT:
                parts.append(_chunk(b"eXIf", exif_orientation(orientation)))
    return b"".join(parts)


def _png_kept(kind: bytes, held: bytes, header: bytes, used: Used) -> bytes:
    """Return what of a chunk the colours need, b"" for one that says nothing of them."""
    if kind in _PNG_NUMBERS:
        numbers = struct.unpack_from(_PNG_NUMBERS[kind], held.ljust(32, b"\xff"))
        most = _PNG_LIMITS.get(kind, NUMBER_LIMIT)
        return struct.pack(_PNG_NUMBERS[kind], *numbers) if max(numbers) < most else b""
    if kind == b"iCCP":
        profile = clean_profile(inflate(held.partition(b"\0")[2][1:])[0])
        return b"profile\0\0" + zlib.compress(profile) if profile else b""
    indexed = header[9:10] == bytes([_INDEXED])
    if kind in (b"PLTE", b"tRNS") and indexed:
        entry = 3 if kind == b"PLTE" else 1
        return colours_used(held[: entry << header[8]], entry, used(0))
    if kind == b"tRNS":
        samples = struct.unpack_from(">3H" if header[9] else ">H", held)
        return struct.pack(f">{len(samples)}H", *(one & (1 << header[8]) - 1 for one in samples))
    return b""


def colours_used(palette: bytes, entry: int, used: Collection[int]) -> bytes:
    """Return a palette of `entry` bytes a colour with zeros where no pixel names one.

    Raises:
        UnreadableMetadata: the others spell a text.
    """
    colours = (palette[at : at + entry] for at in range(0, len(palette), entry))
    kept = b"".join(one if number in used else bytes(len(one)) for number, one in enumerate(colours))
    if reads_like_text(kept):
        raise UnreadableMetadata("text in the palette")
    return kept


def webp_without_metadata(content: bytes, orientation: int) -> bytes:
    """Return a WebP with the chunks its pixels need.

    Raises:
        UnreadableMetadata: it is damaged or animated.
    """
    parts, kinds = [], set()
    profile = exif = b""
    for kind, start, end in webp_chunks(content):
        held = content[start:end]
        if kind == b"ANIM":
            raise UnreadableMetadata("an animated WebP: write its pictures as files of their own")
        if kind == b"ICCP":
            profile = clean_profile(held) or b""
        elif kind in _WEBP_KEPT and kind not in kinds:
            kinds.add(kind)
            parts.append((kind, held))
    if orientation != _UPRIGHT:
        exif = exif_orientation(orientation)
        parts.append((b"EXIF", exif))
    if b"VP8X" in kinds:
        flags = (_WEBP_ICC if profile else 0) | (_WEBP_EXIF if exif else 0)
        extended = next(held for kind, held in parts if kind == b"VP8X")
        head = (b"VP8X", bytes([extended[0] & _WEBP_ALPHA | flags]) + bytes(3) + extended[4:10])
        parts = [
            head,
            *([(b"ICCP", profile)] if profile else []),
            *(one for one in parts if one[0] != b"VP8X"),
        ]
    return _webp(parts)


def webp_without_slack(content: bytes, decoded: Callable[[bytes], object]) -> bytes:
    """Return a WebP whose chunks of samples end with the last one; arguments and errors as of `jpeg_without_slack`.

    In the partitions of VP8 (RFC 6386 section 9.5), whose lengths stand before them, zeros are put for the rest.
    """
    parts = [(kind, content[start:end]) for kind, start, end in webp_chunks(content) if kind]
    for number, (kind, held) in enumerate(parts):

        def rebuilt(samples: bytes, at: int = number) -> object:
            return decoded(_webp([*parts[:at], (parts[at][0], samples), *parts[at + 1 :]]))

        for start, end in vp8_partitions(held)[:-1] if kind == b"VP8 " else ():
            before, behind = held[:start], held[end:]
            kept = to_last_sample(held[start:end], around(before, behind, rebuilt), same_length=True)
            held = before + kept + behind
        if kind in (b"VP8 ", b"VP8L", b"ALPH"):
            parts[number] = (kind, to_last_sample(held, rebuilt))
    return _webp(parts)


def _webp(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(held)) + held + bytes(len(held) % 2) for kind, held in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_without_metadata(content: bytes, used: Used) -> bytes:
    """Return a BMP to the end of its pixels: gaps, padding of rows, reserved fields and the colour profile zeroed.

    Args:
        used: as of `png_without_metadata`.

    Raises:
        UnreadableMetadata: it is damaged or compressed.
    """
    layout = bmp_layout(content)
    if layout.info not in (_BMP_CORE, _BMP_PLAIN, 52, 56, _BMP_V4, _BMP_V5) or not layout.row_bits:
        raise UnreadableMetadata("a BMP file of a rare or compressed kind: write it as PNG")
    if layout.end > len(content) or layout.table_end > layout.pixels:
        raise broken("BMP")
    head = bytearray(content[: layout.table_end])
    head[2:10] = struct.pack("<IHH", layout.end, 0, 0)
    if layout.info > _BMP_CORE:
        _, masked = struct.unpack_from("<HI", head, 28)
        # The resolution, and how many colours matter, change no pixel.
        head[34:46] = struct.pack("<III", layout.end - layout.pixels, 0, 0)
        head[50:54] = bytes(4)
        if layout.info > _BMP_PLAIN and not masked:
            head[54 : min(14 + layout.info, 70)] = bytes(min(layout.info - 40, 16))
    if layout.info >= _BMP_V4:
        head[14 + 56 : 14 + 108] = _BMP_SRGB + bytes(48)
        head[14 + 108 : 14 + layout.info] = struct.pack("<4I", 4, 0, 0, 0)[: layout.info - 108]
    if layout.palette < layout.table_end:
        head[layout.palette :] = colours_used(
            bytes(head[layout.palette :]), 3 if layout.info == _BMP_CORE else 4, used(0)
        )
    row, filled = (layout.row_bits + 31) // 32 * 4, (layout.row_bits + 7) // 8
    rows = (content[at : at + filled] + bytes(row - filled) for at in range(layout.pixels, layout.end, row))
    return bytes(head) + bytes(layout.pixels - layout.table_end) + b"".join(rows)


def exif_orientation(orientation: int) -> bytes:
    """Return an EXIF block (a little-endian TIFF header with one entry) that says how the picture is turned."""
    entry = struct.pack("<HHIHH", EXIF_ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _chunk(kind: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))
