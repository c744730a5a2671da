"""TIFF files rewritten with the tags and samples their pixels need (TIFF 6.0, BigTIFF); nothing is encoded anew."""

import struct
from dataclasses import dataclass

from medimg_cli.privacy.metadata.tiff_tags import VALUE_BYTES
from medimg_cli.privacy.removal.raster_rewrite import CannotRewrite

# TIFF 6.0: what a decoder needs to know of the samples, where the picture's corner is, and its resolution.
_KEPT = frozenset(
    [
        *range(254, 260),
        *range(262, 267),
        274,
        277,
        278,
        *range(280, 285),
        *range(290, 294),
        296,
        301,
        *range(317, 324),
        336,
        *range(338, 342),
        347,
        *range(529, 533),
    ]
)
_ICC_PROFILE = 34675
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_OLD_JPEG = 6
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_PAGES_LIMIT = 10_000


@dataclass(frozen=True)
class _Kind:
    """Classic TIFF or BigTIFF, in one byte order."""

    order: str
    big: bool

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ" if self.big else "HHI")

    @property
    def room(self) -> int:
        """Bytes of a value that stands in its entry."""
        return 8 if self.big else 4


_Entries = dict[int, tuple[int, int, bytes]]
"""Tag → type, count, value in the file's byte order."""


def tiff_without_metadata(content: bytes, *, profile: bool) -> bytes:
    """Return a TIFF of the same pages, each with the tags of `_KEPT` and its samples as they are coded.

    Descriptions, dates, EXIF and GPS directories, thumbnails in sub-directories and whatever lies between the parts
    are gone.

    Raises:
        CannotRewrite: it breaks off, or holds JPEG in the way TIFF 6.0 described and every reader refuses.
    """
    kind = _kind(content)
    first = 8 if kind.big else 4
    target = bytearray(content[:first] + bytes(struct.calcsize(kind.pointer)))
    link, seen = first, set[int]()
    try:
        (at,) = struct.unpack_from(kind.pointer, content, first)
        while at:
            if at in seen or len(seen) > _PAGES_LIMIT:
                raise CannotRewrite("the pages of the TIFF file lead round in circles")
            seen.add(at)
            entries, at = _directory(content, at, kind)
            link = _append(target, link, _page(content, target, entries, kind, profile=profile), kind)
    except struct.error as error:
        raise CannotRewrite("the TIFF file breaks off before its end") from error
    if not seen:
        raise CannotRewrite("the TIFF file has no page")
    return bytes(target)


def _kind(content: bytes) -> _Kind:
    order = "<" if content[:2] == b"II" else ">"
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    return _Kind(order, version == 43)


def _directory(content: bytes, at: int, kind: _Kind) -> tuple[_Entries, int]:
    """Return the entries of a directory and where the next one begins, 0 for none."""
    (count,) = struct.unpack_from(kind.count, content, at)
    at += struct.calcsize(kind.count)
    entries: _Entries = {}
    head = struct.calcsize(kind.entry)
    for _ in range(count):
        tag, form, number = struct.unpack_from(kind.entry, content, at)
        size = VALUE_BYTES.get(form, 0) * number
        place = at + head
        if size > kind.room:
            (place,) = struct.unpack_from(kind.pointer, content, place)
        if place + size > len(content):
            raise CannotRewrite("the TIFF file breaks off before its end")
        entries[tag] = (form, number, content[place : place + size])
        at += head + kind.room
    (following,) = struct.unpack_from(kind.pointer, content, at)
    return entries, following


def _page(content: bytes, target: bytearray, entries: _Entries, kind: _Kind, *, profile: bool) -> _Entries:
    """Append a page's samples to `target` and return the entries that stay, pointing there."""
    if 259 in entries and _numbers(entries[259], kind)[:1] == (_OLD_JPEG,):
        raise CannotRewrite("a TIFF file with JPEG of the old kind")
    kept = {tag: entry for tag, entry in entries.items() if tag in _KEPT or (profile and tag == _ICC_PROFILE)}
    for places, sizes in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        if places not in entries:
            continue
        if sizes not in entries:
            raise CannotRewrite("a TIFF file that does not say how long its samples are")
        moved = []
        lengths = _numbers(entries[sizes], kind)
        for place, length in zip(_numbers(entries[places], kind), lengths, strict=True):
            if place + length > len(content):
                raise CannotRewrite("the TIFF file breaks off before its end")
            moved.append(_put(target, content[place : place + length]))
        form = 16 if kind.big else 4
        kept[places] = (form, len(moved), struct.pack(f"{kind.order}{len(moved)}{_FORMATS[form]}", *moved))
        kept[sizes] = entries[sizes]
    return kept


def _numbers(entry: tuple[int, int, bytes], kind: _Kind) -> tuple[int, ...]:
    form, count, value = entry
    if form not in _FORMATS:
        raise CannotRewrite("a TIFF file whose directory holds no numbers where they should be")
    return struct.unpack(f"{kind.order}{count}{_FORMATS[form]}", value)


def _append(target: bytearray, link: int, entries: _Entries, kind: _Kind) -> int:
    """Append a directory, let `link` point to it, and return where its own link stands."""
    rows = []
    for tag, (form, count, value) in sorted(entries.items()):
        held = value if len(value) <= kind.room else struct.pack(kind.pointer, _put(target, value))
        rows.append(struct.pack(kind.entry, tag, form, count) + held.ljust(kind.room, b"\0"))
    start = _put(target, struct.pack(kind.count, len(rows)) + b"".join(rows))
    struct.pack_into(kind.pointer, target, link, start)
    end = len(target)
    target += bytes(struct.calcsize(kind.pointer))
    return end


def _put(target: bytearray, held: bytes) -> int:
    """Append bytes at an even place and return it."""
    target += b"\0" * (len(target) % 2)
    start = len(target)
    target += held
    return start
