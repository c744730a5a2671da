"""The walk through JPEG, PNG, WebP and BMP files, part by part: what reads texts and what removes them share it."""

import re
import struct
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from medimg_cli.privacy.metadata.metadata_text import Bytes, UnreadableMetadata

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
        table_end: end of header, masks and palette.
        pixels, end: the range of the pixels.
        row_bits: bits of one row without padding, 0 for compressed pixels.
    """

    info: int
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
    return BmpLayout(info, 14 + info + masks + colours, pixels, pixels + taken, row_bits)
