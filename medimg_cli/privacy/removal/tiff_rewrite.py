"""TIFF files rewritten with nothing but what their pixels need; no pixel is encoded anew but those of fax codes."""

import struct
import zlib
from collections.abc import Callable, Collection
from fractions import Fraction

from medimg_cli.privacy.metadata.containers import broken
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata
from medimg_cli.privacy.metadata.tiff_tags import Entry, Tiff
from medimg_cli.privacy.removal.codestreams import bare_deflate, bare_jpeg, bare_lzw, bare_packbits
from medimg_cli.privacy.removal.colour_profile import clean_profile
from medimg_cli.privacy.removal.last_samples import jpeg_samples, jpeg_without_slack
from medimg_cli.privacy.removal.raster_rewrite import NUMBER_LIMIT, Used, colours_used

# TIFF 6.0: tag → how many values a decoder needs of it; "samples" for one a sample.
_A_SAMPLE = -1
_KEPT = {
    **dict.fromkeys((254, 255, 256, 257, 259, 262, 266, 274, 277, 278, 282, 283, 284, 292, 293, 296, 317, 322), 1),
    **dict.fromkeys((258, 338, 339), _A_SAMPLE), 318: 2, 319: 6, 323: 1, 529: 3, 530: 2, 531: 1, 532: 6,
}  # fmt: skip
_FRACTIONS = frozenset([282, 283, 318, 319, 529, 532])
_SIDES = frozenset([256, 257, 278, 322, 323])
# Letters give higher numbers: for the kinds that a tag chooses from, for lists of them, and for sides in pixels.
_CODE_LIMIT, _LIST_LIMIT, _SIDE_LIMIT = 1 << 16, 65, 1 << 28
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


def tiff_without_metadata(content: bytes, bilevel_page: Callable[[int], bytes], used: Used) -> bytes:
    """Return a TIFF of the same pages, each with the tags of `_KEPT` and its samples to their last one.

    Descriptions, dates, EXIF and GPS directories, thumbnails in sub-directories and whatever lies between the parts
    are gone. Fax codes (T.4, T.6) do not say where they end: such pages are deflated anew, black and white as before.

    Args:
        bilevel_page: page number → its decoded rows, one bit a pixel, 1 for white, rows of whole bytes.
        used: as of `png_without_metadata`.

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
        values = _Page(source, entries, target).values(len(seen) - 1, bilevel_page, used)
        link = _append(target, link, values, source)
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

    def values(self, page: int, bilevel_page: Callable[[int], bytes], used: Used) -> _Values:
        kept: _Values = {}
        for tag, count in _KEPT.items():
            if tag in self._entries and (
                value := self._value(tag, self._samples if count == _A_SAMPLE else count)
            ):
                kept[tag] = value
        if _COLOUR_MAP in self._entries:
            kept[_COLOUR_MAP] = self._palette(used(page))
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
        if entry.code not in (_SHORT, _LONG, _LONG8, 5):
            return None
        held = self._bytes(entry)[: entry.size // entry.count * count]
        if entry.code == 5:
            return self._fractions(held, count) if tag in _FRACTIONS else None
        numbers = self._source.numbers(entry, held)
        most = _SIDE_LIMIT if tag in _SIDES else _CODE_LIMIT if _KEPT[tag] == 1 else _LIST_LIMIT
        return (entry.code, count, held) if numbers and max(numbers) < most else None

    def _fractions(self, held: bytes, count: int) -> tuple[int, int, bytes] | None:
        """Return fractions to four digits of their denominators, in lowest terms: letters make no such numbers."""
        parts = struct.unpack(f"{self._source.order}{2 * count}I", held)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        terms = [
            Fraction(one, other or 1).limit_denominator(10_000).as_integer_ratio() for one, other in pairs
        ]
        numbers = [number for pair in terms for number in pair]
        if max(numbers) >= NUMBER_LIMIT:
            return None
        return 5, count, struct.pack(f"{self._source.order}{2 * count}I", *numbers)

    def _palette(self, used: Collection[int]) -> tuple[int, int, bytes]:
        """Return the colour map: all reds, then the greens, then the blues, of 16 bits each."""
        entry, colours = self._entries[_COLOUR_MAP], 1 << self._many(_BITS)[0]
        held = self._bytes(entry)[: 6 * colours]
        if entry.code != _SHORT:
            raise UnreadableMetadata("a TIFF file whose directory holds no numbers where they should be")
        every = {third * colours + one for third in range(3) for one in used}
        return _SHORT, len(held) // 2, colours_used(held, 2, every)

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
