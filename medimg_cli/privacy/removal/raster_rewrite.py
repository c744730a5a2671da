"""JPEG, PNG, WebP, BMP and TIFF files rewritten with nothing but what their pixels need; no pixel is encoded anew."""

import struct
import zlib
from collections.abc import Callable, Sequence

from medimg_cli.privacy.metadata.containers import bmp_layout, broken, png_chunks, webp_chunks
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata, inflate, reads_like_text
from medimg_cli.privacy.metadata.tiff_tags import FRACTIONS, Entry, Tiff
from medimg_cli.privacy.removal.codestreams import (
    bare_deflate,
    bare_jpeg,
    bare_lzw,
    bare_packbits,
    clean_profile,
    jpeg_profile,
    jpeg_samples,
    jpeg_segment,
    jpeg_without_slack,
    to_last_sample,
)

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
_NUMBER_LIMIT = 1 << 28  # above stand numbers whose bytes are letters, and no gamma or resolution
_INDEXED = 3
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7, PNG third edition §8.1: first column and row, and steps of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
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


def png_without_metadata(content: bytes, orientation: int) -> bytes:
    """Return a PNG with the chunks its pixels need, cut to what they need of them.

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
            parts += [_chunk(b"IDAT", bare_deflate(samples, _png_bytes(header))), _chunk(kind, b"")]
        elif kept := _png_kept(kind, held, header):
            parts.append(_chunk(kind, kept))
        if kind == b"IHDR":
            header = held
            if orientation != _UPRIGHT:
                parts.append(_chunk(b"eXIf", exif_orientation(orientation)))
    return b"".join(parts)


def _png_kept(kind: bytes, held: bytes, header: bytes) -> bytes:
    """Return what of a chunk the colours need, b"" for one that says nothing of them."""
    if kind in _PNG_NUMBERS:
        numbers = struct.unpack_from(_PNG_NUMBERS[kind], held)
        return struct.pack(_PNG_NUMBERS[kind], *numbers) if max(numbers) < _NUMBER_LIMIT else b""
    if kind == b"iCCP":
        profile = clean_profile(inflate(held.partition(b"\0")[2][1:])[0])
        return b"profile\0\0" + zlib.compress(profile) if profile else b""
    indexed = header[9:10] == bytes([_INDEXED])
    if kind == b"PLTE" and indexed:
        return _numbers(held[: 3 << header[8]])
    if kind == b"tRNS":
        return _numbers(held[: 1 << header[8] if indexed else 6 if header[9] else 2])
    return b""


def _numbers(palette: bytes) -> bytes:
    """Return a palette as it is.

    Raises:
        UnreadableMetadata: entries that no pixel needs spell a text.
    """
    if reads_like_text(palette):
        raise UnreadableMetadata("text in the palette")
    return palette


def _png_bytes(header: bytes) -> int:
    """Return how many bytes the filtered rows of a PNG take, interlaced ones too."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    bits = depth * _PNG_SAMPLES.get(colour, 0)
    total = 0
    for left, top, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


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
    """Return a WebP whose chunks of samples end with the last one; arguments and errors as of `jpeg_without_slack`."""
    parts = [(kind, content[start:end]) for kind, start, end in webp_chunks(content) if kind]
    for number, (kind, held) in enumerate(parts):
        if kind in (b"VP8 ", b"VP8L", b"ALPH"):

            def rebuilt(samples: bytes, at: int = number) -> object:
                return decoded(_webp([*parts[:at], (parts[at][0], samples), *parts[at + 1 :]]))

            parts[number] = (kind, to_last_sample(held, rebuilt))
    return _webp(parts)


def _webp(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(held)) + held + bytes(len(held) % 2) for kind, held in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_without_metadata(content: bytes) -> bytes:
    """Return a BMP to the end of its pixels: gaps, padding of rows, reserved fields and the colour profile zeroed.

    Raises:
        UnreadableMetadata: it is damaged or compressed.
    """
    layout = bmp_layout(content)
    if layout.info not in (_BMP_CORE, _BMP_PLAIN, 52, 56, _BMP_V4, _BMP_V5) or not layout.row_bits:
        raise UnreadableMetadata("a BMP file of a rare or compressed kind: write it as PNG")
    if layout.end > len(content) or layout.table_end > layout.pixels:
        raise broken("BMP")
    _numbers(content[14 + layout.info : layout.table_end])
    head = bytearray(content[: layout.table_end])
    head[2:10] = struct.pack("<IHH", layout.end, 0, 0)
    if layout.info >= _BMP_V4:
        head[14 + 56 : 14 + 108] = _BMP_SRGB + bytes(48)
        head[14 + 108 : 14 + layout.info] = struct.pack("<4I", 4, 0, 0, 0)[: layout.info - 108]
    row, used = (layout.row_bits + 31) // 32 * 4, (layout.row_bits + 7) // 8
    rows = (content[at : at + used] + bytes(row - used) for at in range(layout.pixels, layout.end, row))
    return bytes(head) + bytes(layout.pixels - layout.table_end) + b"".join(rows)


def exif_orientation(orientation: int) -> bytes:
    """Return an EXIF block (a little-endian TIFF header with one entry) that says how the picture is turned."""
    entry = struct.pack("<HHIHH", EXIF_ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _chunk(kind: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


# TIFF 6.0: tag → how many values a decoder needs of it; "samples" for one a sample.
_A_SAMPLE = -1
_KEPT = {
    **dict.fromkeys((254, 255, 256, 257, 259, 262, 266, 274, 277, 278, 282, 283, 284, 292, 293, 296, 317, 322), 1),
    **dict.fromkeys((258, 338, 339), _A_SAMPLE), 318: 2, 319: 6, 323: 1, 529: 3, 530: 2, 531: 1, 532: 6,
}  # fmt: skip
_COLOUR_MAP, _JPEG_TABLES, _ICC_TAG = 320, 347, 34675
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_SAMPLES_TAG = 277
_ROWS, _PLANAR, _SUBSAMPLING, _TILE_WIDTH, _TILE_LENGTH = 278, 284, 530, 322, 323
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_FAX_OPTIONS = (292, 293)
_NONE, _FAX, _LZW, _OLD_JPEG, _JPEG = 1, (2, 3, 4), 5, 6, 7
_DEFLATE, _OLD_DEFLATE, _PACKBITS = 8, 32946, 32773
_YCBCR, _BLACK_IS_ZERO, _SHORT, _LONG, _LONG8 = 6, 1, 3, 4, 16
_PAGES_LIMIT = 10_000

_Values = dict[int, tuple[int, int, bytes]]
"""Tag → type, count, value in the file's byte order."""


def tiff_without_metadata(content: bytes, bilevel_page: Callable[[int], bytes]) -> bytes:
    """Return a TIFF of the same pages, each with the tags of `_KEPT` and its samples to their last one.

    Descriptions, dates, EXIF and GPS directories, thumbnails in sub-directories and whatever lies between the parts
    are gone. Fax codes (T.4, T.6) do not say where they end: such pages are deflated anew, black and white as before.

    Args:
        bilevel_page: page number → its decoded rows, one bit a pixel, 1 for white, rows of whole bytes.

    Raises:
        UnreadableMetadata: it breaks off, or its samples are coded in a way whose end cannot be found.
    """
    source = Tiff(content, "TIFF")
    target = bytearray(content[: source.link] + bytes(source.room))
    link, seen, at = source.link, set[int](), source.number(source.pointer, source.link)
    while at:
        if at in seen or len(seen) > _PAGES_LIMIT:
            raise UnreadableMetadata("the pages of the TIFF file lead round in circles")
        seen.add(at)
        entries, at = source.directory(at)
        link = _append(
            target, link, _Page(source, entries, target).values(len(seen) - 1, bilevel_page), source
        )
    if not seen:
        raise UnreadableMetadata("the TIFF file has no page")
    return bytes(target)


class _Page:
    """One page of a TIFF: `values` appends its samples to `target` and returns the entries that stay, pointing there."""

    def __init__(self, source: Tiff, entries: dict[int, Entry], target: bytearray) -> None:
        self._source, self._entries, self._target = source, entries, target
        self._samples = self._one(_SAMPLES_TAG, 1)
        self._compression = self._one(_COMPRESSION, _NONE)
        self._tables = b""

    def values(self, page: int, bilevel_page: Callable[[int], bytes]) -> _Values:
        kept: _Values = {}
        for tag, count in _KEPT.items():
            if tag in self._entries and (
                value := self._value(tag, self._samples if count == _A_SAMPLE else count)
            ):
                kept[tag] = value
        if _COLOUR_MAP in self._entries:
            kept[_COLOUR_MAP] = self._palette()
        if _JPEG_TABLES in self._entries and self._compression == _JPEG:
            self._tables = bare_jpeg(self._bytes(self._entries[_JPEG_TABLES]), all_tables=True)
            kept[_JPEG_TABLES] = (7, len(self._tables), self._tables)
        if _ICC_TAG in self._entries:
            profile = clean_profile(self._bytes(self._entries[_ICC_TAG]))
            kept |= {_ICC_TAG: (7, len(profile), profile)} if profile else {}
        if self._compression in _FAX:
            return self._deflated(kept, bilevel_page(page))
        tiled = _TILES in self._entries
        places, sizes = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
        if places not in self._entries or sizes not in self._entries:
            raise UnreadableMetadata("a TIFF file that does not say where its samples are, and how long")
        self._put(kept, places, sizes, self._parts(self._many(places), self._many(sizes), tiled=tiled))
        return kept

    def _parts(self, places: list[int], sizes: list[int], *, tiled: bool) -> list[bytes]:
        found = []
        for number, (place, size) in enumerate(zip(places, sizes, strict=True)):
            held = bytes(self._source.data[place : place + size])
            if len(held) < size:
                raise broken("TIFF")
            # Size and place 0 stand for a tile without samples (GDAL).
            found.append(self._bare(held, self._bytes_needed(number, tiled=tiled)) if size else b"")
        return found

    def _bare(self, held: bytes, needed: int) -> bytes:
        if self._compression == _NONE:
            if len(held) < needed:
                raise broken("TIFF")
            return held[:needed]
        if self._compression == _PACKBITS:
            return bare_packbits(held, 0, needed)[0]
        if self._compression == _LZW:
            return bare_lzw(held, needed)
        if self._compression in (_DEFLATE, _OLD_DEFLATE):
            return bare_deflate(held, needed)
        if self._compression == _JPEG:
            tables = self._tables[2:-2]
            return jpeg_without_slack(bare_jpeg(held), lambda one: jpeg_samples(one[:2] + tables + one[2:]))
        if self._compression == _OLD_JPEG:
            raise UnreadableMetadata("a TIFF file with JPEG of the old kind")
        raise UnreadableMetadata(
            f"a TIFF file compressed in a way that medimg cannot take apart ({self._compression})"
        )

    def _bytes_needed(self, number: int, *, tiled: bool) -> int:
        """Return how many bytes a strip or tile holds when it is decoded."""
        width, length = self._one(_WIDTH), self._one(_LENGTH)
        bits = self._many(_BITS) if _BITS in self._entries else [1]
        planes = self._samples if self._one(_PLANAR, 1) == 2 else 1
        if tiled:
            columns = self._one(_TILE_WIDTH)
            rows = self._one(_TILE_LENGTH)
            plane = number // max(1, -(-width // columns) * -(-length // rows))
        else:
            columns, high = width, min(self._one(_ROWS, length), length)
            strips = -(-length // high)
            rows, plane = min(high, length - number % strips * high), number // strips
        if self._one(_PHOTOMETRIC, 0) == _YCBCR and planes == 1 and self._compression != _JPEG:
            across, down = (self._many(_SUBSAMPLING) if _SUBSAMPLING in self._entries else [2, 2])[:2]
            return -(-columns // across) * -(-rows // down) * (across * down + 2)
        bits_a_pixel = (
            bits[min(plane, len(bits) - 1)] if planes > 1 else sum((bits * self._samples)[: self._samples])
        )
        return (columns * bits_a_pixel + 7) // 8 * rows

    def _deflated(self, kept: _Values, rows: bytes) -> _Values:
        for tag in (_FILL_ORDER, _TILE_WIDTH, _TILE_LENGTH, *_FAX_OPTIONS):
            kept.pop(tag, None)
        for tag, number in (
            (_COMPRESSION, _DEFLATE),
            (_PHOTOMETRIC, _BLACK_IS_ZERO),
            (_ROWS, self._one(_LENGTH)),
        ):
            kept[tag] = (_LONG, 1, struct.pack(self._source.order + "I", number))
        self._put(kept, _STRIPS, _STRIP_BYTES, [zlib.compress(rows)])
        return kept

    def _put(self, kept: _Values, places: int, sizes: int, parts: list[bytes]) -> None:
        form, code = (_LONG8, "Q") if self._source.big else (_LONG, "I")
        for tag, numbers in (
            (places, [_put(self._target, part) if part else 0 for part in parts]),
            (sizes, list(map(len, parts))),
        ):
            kept[tag] = (form, len(parts), struct.pack(f"{self._source.order}{len(parts)}{code}", *numbers))

    def _value(self, tag: int, count: int) -> tuple[int, int, bytes] | None:
        """Return a tag's first `count` values, None where they are no numbers or those of letters."""
        entry = self._entries[tag]
        count = min(count, entry.count)
        held = self._bytes(entry)[: entry.size // entry.count * count]
        if not self._source.numbers(entry, held) or entry.code in (1, 2, 6, 7):
            return None
        if entry.code in FRACTIONS:
            parts = struct.unpack(f"{self._source.order}{2 * count}{'I' if entry.code == 5 else 'i'}", held)
            return (entry.code, count, held) if max(map(abs, parts)) < _NUMBER_LIMIT else None
        return entry.code, count, held

    def _palette(self) -> tuple[int, int, bytes]:
        entry = self._entries[_COLOUR_MAP]
        count = min(entry.count, 3 << self._many(_BITS)[0])
        held = self._bytes(entry)[: 2 * count]
        if entry.code != _SHORT or reads_like_text(held):
            raise UnreadableMetadata("text in the palette")
        return _SHORT, count, held

    def _bytes(self, entry: Entry) -> bytes:
        held = bytes(self._source.data[entry.start : entry.start + entry.size])
        if len(held) < entry.size:
            raise broken("TIFF")
        return held

    def _many(self, tag: int) -> list[int]:
        entry = self._entries[tag]
        if entry.code not in (_SHORT, _LONG, _LONG8):
            raise UnreadableMetadata("a TIFF file whose directory holds no numbers where they should be")
        return [int(number) for number in self._source.numbers(entry, self._bytes(entry))]

    def _one(self, tag: int, missing: int = 0) -> int:
        return self._many(tag)[0] if tag in self._entries else missing


def _append(target: bytearray, link: int, entries: _Values, source: Tiff) -> int:
    """Append a directory, let `link` point to it, and return where its own link stands."""
    rows = []
    for tag, (form, count, value) in sorted(entries.items()):
        head = struct.pack(f"{source.order}HH{source.pointer}", tag, form, count)
        place = (
            value
            if len(value) <= source.room
            else struct.pack(source.order + source.pointer, _put(target, value))
        )
        rows.append(head + place.ljust(source.room, b"\0"))
    start = _put(target, struct.pack(source.order + source.count_code, len(rows)) + b"".join(rows))
    struct.pack_into(source.order + source.pointer, target, link, start)
    end = len(target)
    target += bytes(source.room)
    return end


def _put(target: bytearray, held: bytes) -> int:
    """Append bytes at an even place and return it."""
    target += b"\0" * (len(target) % 2)
    start = len(target)
    target += held
    return start
