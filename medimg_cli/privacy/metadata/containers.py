"""JPEG, PNG, WebP and BMP files, part by part: the walk through them, and the texts beside their pixels."""

import re
import struct
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from medimg_cli.privacy.metadata.metadata_text import (
    TEXT_LIMIT,
    Bytes,
    MetadataText,
    UnreadableMetadata,
    icc_texts,
    inflate,
    irb_texts,
    place_name,
    plain_text,
    strings_text,
    xmp_texts,
)
from medimg_cli.privacy.metadata.tiff_tags import tiff_texts

_PARTS_LIMIT = 1_000_000
# ITU-T T.81 B.1.1.3: in entropy-coded data FF is followed by 00, a restart marker or more FF; ITU-T T.87 A.1 (JPEG-LS)
# stuffs a bit instead, so that any byte below 80 may follow.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LS_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_ALONE = frozenset([0x01, 0xD8, *range(0xD0, 0xD8)])
SOS, EOI, COM, APP0, APP15, SOF_LS = 0xDA, 0xD9, 0xFE, 0xE0, 0xEF, 0xF7


Kind = TypeVar("Kind")


class Part(NamedTuple, Generic[Kind]):
    """One part of a file: its marker or name, and the half-open range of its content."""

    kind: Kind
    start: int
    end: int


def broken(form: str) -> UnreadableMetadata:
    """Return the error for a file that is shorter than its parts say."""
    return UnreadableMetadata(f"the {form} file breaks off before its end")


def jpeg_segments(data: Bytes) -> Iterator[Part[int]]:
    """Yield the segments of a JPEG or JPEG-LS file without marker and length, up to EOI, which is the last one.

    The content of SOS holds the entropy-coded data behind its header too.

    Raises:
        UnreadableMetadata: it breaks off, or has more than a million segments.
    """
    at, scan_end = 2, _MARKER
    for _ in range(_PARTS_LIMIT):
        found = _MARKER.search(data, at)
        if found is None:
            raise broken("JPEG")
        marker, start = data[found.start() + 1], found.end()
        if marker == EOI:
            yield Part(EOI, start, start)
            return
        at = start
        if marker in _ALONE:
            continue
        (size,) = struct.unpack(">H", bytes(data[start : start + 2]).ljust(2, b"\0"))
        at = start + max(size, 2)
        if marker == SOF_LS:
            scan_end = _LS_MARKER
        if marker == SOS:
            following = scan_end.search(data, at)
            at = len(data) if following is None else following.start()
        if at >= len(data):
            raise broken("JPEG")
        yield Part(marker, start + 2, at)
    raise UnreadableMetadata(f"more than {_PARTS_LIMIT:,} segments in the JPEG file")


def png_chunks(data: Bytes) -> Iterator[Part[bytes]]:
    """Yield the chunks of a PNG file up to IEND, which is the last one.

    Raises:
        UnreadableMetadata: it breaks off, or has more than a million chunks.
    """
    at = 8
    for _ in range(_PARTS_LIMIT):
        head = bytes(data[at : at + 8])
        if len(head) < 8:
            raise broken("PNG")
        size, kind = struct.unpack(">I4s", head)
        if at + 12 + size > len(data):
            raise broken("PNG")
        yield Part(kind, at + 8, at + 8 + size)
        if kind == b"IEND":
            return
        at += 12 + size
    raise UnreadableMetadata(f"more than {_PARTS_LIMIT:,} chunks in the PNG file")


def webp_chunks(data: Bytes) -> Iterator[Part[bytes]]:
    """Yield the chunks of a WebP file (RFC 9649 §2.3), and last a part of kind b"" where the RIFF ends.

    Raises:
        UnreadableMetadata: it breaks off.
    """
    (whole,) = struct.unpack("<I", bytes(data[4:8]))
    end, at = 8 + whole, 12
    if end > len(data):
        raise broken("WebP")
    while at + 8 <= end:
        kind, size = struct.unpack("<4sI", bytes(data[at : at + 8]))
        if at + 8 + size > end:
            raise broken("WebP")
        yield Part(kind, at + 8, at + 8 + size)
        at += 8 + size + size % 2
    yield Part(b"", end + end % 2, end + end % 2)


class BmpLayout(NamedTuple):
    """Where the parts of a BMP file are, in bytes; rows of pixels are padded to whole four bytes.

    Args:
        info: size of the information header, which tells its version: 12, 40, 52, 56, 108, 124.
        palette, table_end: the range of the palette, behind header and masks.
        pixels, end: the range of the pixels.
        row_bits: bits of one row without padding, 0 for compressed pixels.
    """

    info: int
    palette: int
    table_end: int
    pixels: int
    end: int
    row_bits: int


def bmp_layout(data: Bytes) -> BmpLayout:
    """Return the layout of a BMP file by its header.

    Raises:
        UnreadableMetadata: its header breaks off.
    """
    head = bytes(data[:54])
    if len(head) < 26:
        raise UnreadableMetadata("the header of the BMP file breaks off")
    pixels, info = struct.unpack_from("<II", head, 10)
    if info == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        compression = size = used = masks = 0
    else:
        head = head.ljust(54, b"\0")
        width, height, _, bits, compression, size = struct.unpack_from("<iiHHII", head, 18)
        (used,) = struct.unpack_from("<I", head, 46)
        masks = {3: 12, 6: 16}.get(compression, 0) if info == 40 else 0
    colours = (3 if info == 12 else 4) * (used or (1 << bits if bits <= 8 else 0))
    row_bits = abs(width) * bits if compression in (0, 3, 6) else 0
    taken = (row_bits + 31) // 32 * 4 * abs(height) if row_bits else size
    palette = 14 + info + masks
    return BmpLayout(info, palette, palette + colours, pixels, pixels + taken, row_bits)


TRAILING = "trailing bytes"

_EXIF = b"Exif\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_TIME = struct.Struct(">HBBBBB")
# PNG 3rd edition §11, APNG and what is sealed for the pixels' sake: no text stands in these.
_PNG_SILENT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT oFFs sCAL "
    b"vpAg CgBI".split()
)
_WEBP_PIXELS = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"])


def jpeg_texts(data: Bytes) -> Iterator[MetadataText]:
    """Yield the texts of a JPEG file: comments, application segments, and what follows its end.

    Raises:
        UnreadableMetadata: it breaks off before its end.
    """
    extended: list[bytes] = []
    for marker, start, end in jpeg_segments(data):
        if marker == EOI:
            if extended:
                yield from xmp_texts(b"".join(extended))
            yield from trailing(data, start)
        elif APP0 <= marker <= APP15 or marker == COM:
            held = bytes(data[start:end])
            if held.startswith(_XMP_MORE):
                extended.append(held[len(_XMP_MORE) + 40 :])  # after a digest, a length and an offset
            else:
                yield from _jpeg_segment(marker, held)


def _jpeg_segment(marker: int, held: bytes) -> Iterator[MetadataText]:
    if marker == COM:
        yield plain_text("JPEG comment", held)
    elif held.startswith(_EXIF):
        yield from tiff_texts(held[6:], "EXIF")
    elif held.startswith(_XMP):
        yield from xmp_texts(held[len(_XMP) :])
    elif held.startswith(_PHOTOSHOP):
        yield from irb_texts(held[len(_PHOTOSHOP) :])
    elif held.startswith(b"ICC_PROFILE\0"):
        # The first part holds the directory and, in practice, the texts; later parts hold tables.
        yield from icc_texts(held[14:]) if held[12:13] == b"\1" else ()
    elif held.startswith((b"JFIF\0", b"JFXX\0")):
        if len(held) > 14 or held.startswith(b"JFXX"):
            yield MetadataText("JFIF thumbnail", "")
    elif (text := strings_text(f"JPEG APP{marker & 15}", held)).text != "Adobe":  # the colour transform
        yield text


def png_texts(data: Bytes) -> Iterator[MetadataText]:
    """Yield the texts of a PNG file: text chunks, EXIF, times, profiles, unknown chunks, what follows its end.

    Raises:
        UnreadableMetadata: it breaks off before its end.
    """
    for kind, start, end in png_chunks(data):
        if kind not in _PNG_SILENT:
            yield from _png_chunk(kind, bytes(data[start : min(end, start + TEXT_LIMIT)]), end - start)
        if kind == b"IEND":
            yield from trailing(data, end + 4)


def _png_chunk(kind: bytes, held: bytes, size: int) -> Iterator[MetadataText]:
    if size > TEXT_LIMIT:
        yield MetadataText(f"PNG {_name(kind)} beyond the limit", "", complete=False)
    if kind in _PNG_TEXTS:
        yield from _png_text(kind, held)
    elif kind == b"eXIf":
        yield from tiff_texts(held, "EXIF")
    elif kind == b"tIME" and len(held) >= _PNG_TIME.size:
        year, month, day, hour, minute, second = _PNG_TIME.unpack_from(held)
        yield MetadataText(
            "PNG tIME", f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
        )
    elif kind == b"iCCP":
        name, _, packed = held.partition(b"\0")
        yield plain_text("ICC description", name, "latin-1")
        yield from icc_texts(inflate(packed[1:])[0])
    else:
        yield strings_text(f"PNG chunk {_name(kind)}", held)


def _png_text(kind: bytes, held: bytes) -> Iterator[MetadataText]:
    """Yield the text of tEXt, zTXt or iTXt (PNG 3rd edition §11.3.3); raw profiles of ImageMagick unpacked."""
    keyword, _, rest = held.partition(b"\0")
    name = place_name(plain_text("", keyword, "latin-1").text)
    place, complete, encoding = f"PNG {_name(kind)} {name}", True, "latin-1"
    if kind == b"zTXt":
        rest, complete = inflate(rest[1:])
    elif kind == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        _, _, rest = rest[2:].partition(b"\0")
        translated, _, rest = rest.partition(b"\0")
        if translated.strip():
            yield plain_text(f"{place} (translated)", translated)
        if packed:
            rest, complete = inflate(rest)
    if name == "XML:com.adobe.xmp":
        yield from xmp_texts(rest)
    elif name.startswith("Raw profile type "):
        yield from _raw_profile(name.removeprefix("Raw profile type "), rest)
    else:
        text = plain_text(place, rest, encoding)
        yield MetadataText(place, text.text, complete=complete and text.complete)
    if not complete:
        yield MetadataText(f"{place} beyond the limit", "", complete=False)


def _raw_profile(kind: str, held: bytes) -> Iterator[MetadataText]:
    """Yield the texts of a profile written in hexadecimal digits after its name and its length."""
    digits = b"".join(held.split()[2:])
    try:
        block = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        yield strings_text(f"PNG raw profile {kind}", held)
        return
    if block.startswith(_EXIF):
        yield from tiff_texts(block[6:], "EXIF")
    elif kind in ("iptc", "8bim"):
        yield from irb_texts(block)
    elif kind in ("icc", "icm"):
        yield from icc_texts(block)
    elif kind == "xmp":
        yield from xmp_texts(block)
    else:
        yield strings_text(f"PNG raw profile {kind}", block)


def webp_texts(data: Bytes) -> Iterator[MetadataText]:
    """Yield the texts of a WebP file (RFC 9649 §2.7): EXIF, XMP, profile, unknown chunks, what follows its end.

    Raises:
        UnreadableMetadata: it breaks off before its end.
    """
    for kind, start, end in webp_chunks(data):
        if not kind:
            yield from trailing(data, start)
        elif kind not in _WEBP_PIXELS:
            if end - start > TEXT_LIMIT:
                yield MetadataText(f"WebP {_name(kind)} beyond the limit", "", complete=False)
            yield from _webp_chunk(kind, bytes(data[start : min(end, start + TEXT_LIMIT)]))


def _webp_chunk(kind: bytes, held: bytes) -> Iterator[MetadataText]:
    if kind == b"EXIF":
        yield from tiff_texts(held.removeprefix(b"Exif\0\0"), "EXIF")
    elif kind == b"XMP ":
        yield from xmp_texts(held)
    elif kind == b"ICCP":
        yield from icc_texts(held)
    else:
        yield strings_text(f"WebP chunk {_name(kind)}", held)


def bmp_texts(data: Bytes) -> Iterator[MetadataText]:
    """Yield what a BMP file holds beside its pixels: a colour profile or its path, and what follows its end.

    Raises:
        UnreadableMetadata: its header breaks off.
    """
    layout, head, end = bmp_layout(data), bytes(data[:138]), bmp_layout(data).end
    if layout.info >= 124 and len(head) == 138:  # BITMAPV5HEADER
        offset, size = struct.unpack_from("<II", head, 14 + 112)
        if offset and size:
            linked = head[14 + 56 : 14 + 60] == b"KNIL"  # 'LINK', the path of a file, stored backwards
            held = bytes(data[14 + offset : 14 + offset + min(size, TEXT_LIMIT)])
            yield from [plain_text("BMP profile path", held)] if linked else icc_texts(held)
            end = max(end, 14 + offset + size)
    yield from trailing(data, end)


def trailing(data: Bytes, end: int) -> Iterator[MetadataText]:
    """Yield one entry when bytes other than padding follow the end of the image."""
    rest = bytes(data[end : end + TEXT_LIMIT])
    if rest.strip(b"\0\xff\r\n\t "):
        text = strings_text(TRAILING, rest)
        yield MetadataText(TRAILING, text.text, complete=len(data) - end <= TEXT_LIMIT)
    elif len(data) - end > TEXT_LIMIT:
        yield MetadataText(TRAILING, "", complete=False)


def _name(kind: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in kind)
