"""The directories of TIFF, BigTIFF and EXIF blocks (TIFF 6.0 §2), and the texts in their tags."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from medimg_cli.privacy.metadata.metadata_text import (
    TEXT_LIMIT,
    Bytes,
    MetadataText,
    UnreadableMetadata,
    icc_texts,
    iptc_texts,
    irb_texts,
    plain_text,
    strings_text,
    xmp_texts,
)

ENTRIES_LIMIT = 4096
BYTE, ASCII, UNDEFINED = 1, 2, 7
# Type → bytes of one value, and its code for `struct`; fractions are two numbers.
VALUE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
_CODES = {
    1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q",
    18: "Q",
}  # fmt: skip
FRACTIONS = (5, 10)


@dataclass(frozen=True)
class Entry:
    """One entry of a directory: type and number of its values, where they start, and how many bytes they take."""

    code: int
    count: int
    start: int
    size: int


@dataclass(frozen=True)
class Tiff:
    """A TIFF file or EXIF block; offsets count from the byte order mark it begins with.

    Args:
        form: "TIFF" or "EXIF", as errors and places name it.
    """

    data: Bytes
    form: str

    @cached_property
    def order(self) -> str:
        """Return "<" or ">".

        Raises:
            UnreadableMetadata: it has no byte order mark.
        """
        found = {b"II": "<", b"MM": ">"}.get(bytes(self.data[:2]))
        if found is None or len(self.data) < 8:
            raise UnreadableMetadata(f"the {self.form} block has no byte order mark")
        return found

    @cached_property
    def big(self) -> bool:
        """Return whether it is a BigTIFF, with offsets of 64 bits."""
        return self.number("H", 2) == 43

    @property
    def pointer(self) -> str:
        return "Q" if self.big else "I"

    @property
    def count_code(self) -> str:
        return "Q" if self.big else "H"

    @property
    def room(self) -> int:
        """Bytes of a value that stands in its entry."""
        return 8 if self.big else 4

    @property
    def link(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.big else 4

    def number(self, code: str, at: int) -> int:
        """Return one number.

        Raises:
            UnreadableMetadata: the block breaks off.
        """
        size = struct.calcsize("<" + code)
        held = bytes(self.data[at : at + size])
        if len(held) < size:
            raise UnreadableMetadata(f"the {self.form} block breaks off")
        return int(struct.unpack(self.order + code, held)[0])

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """Return tag → entry of a directory, and the offset of the next one, 0 after the last.

        Raises:
            UnreadableMetadata: it breaks off, or has more than 4,096 entries.
        """
        count = self.number(self.count_code, offset)
        if count > ENTRIES_LIMIT:
            raise UnreadableMetadata(f"a directory of the {self.form} block has {count:,} entries")
        at = offset + struct.calcsize("<" + self.count_code)
        entries: dict[int, Entry] = {}
        for _ in range(count):
            tag, code = self.number("H", at), self.number("H", at + 2)
            values = self.number(self.pointer, at + 4)
            size = values * VALUE_BYTES.get(code, 0)
            place = at + 4 + self.room
            if size:
                start = place if size <= self.room else self.number(self.pointer, place)
                entries[tag] = Entry(code, values, start, size)
            at = place + self.room
        # Many writers leave the last offset out; then nothing follows.
        following = self.number(self.pointer, at) if at + self.room <= len(self.data) else 0
        return entries, following

    def numbers(self, entry: Entry, held: bytes) -> list[float]:
        """Return what bytes of an entry say as numbers, fractions as quotients; nothing for texts."""
        letter = _CODES.get(entry.code)
        if letter is None:
            return []
        count = len(held) // struct.calcsize("<" + letter)
        values = struct.unpack_from(f"{self.order}{count}{letter}", held)
        if entry.code in FRACTIONS:
            return [a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=False)]
        return list(values)


_DIRECTORIES_LIMIT = 4096
_BYTES_LIMIT = 64 << 20
_EXIF_IFD, _GPS_IFD, _SUB_IFDS, _INTEROP_IFD = 0x8769, 0x8825, 0x014A, 0xA005
_PACKETS = {700: xmp_texts, 33723: iptc_texts, 34377: irb_texts, 34675: icc_texts}
_FIRST_PRIVATE = 0x8000
_USER_COMMENT = 0x9286
_PREVIEW_OFFSET, _PREVIEW_LENGTH = 513, 514
_GPS_KEPT = frozenset([0, 5, 9, 10, 11, 12, 14, 16, 18, 23, 25, 30])
"""GPS tags that hold a version, a unit or a quality, and no place."""
_UTF16 = frozenset(range(0x9C9B, 0x9CA0))
# Versions and layouts of the pixels, and how they are to be printed: never a person's text.
_NO_TEXT = frozenset([0xA001, 0x9000, 0xA000, 0x9101, 0xA300, 0xA301, 0xA302, 0x0002, 0x0001, 0xC4A5])


@dataclass
class _Reading:
    """One walk through the directories of a TIFF.

    Args:
        form: "TIFF" or "EXIF", the first word of every place.
    """

    tiff: Tiff
    form: str
    seen: set[int] = field(default_factory=set)
    bytes_read: int = 0

    def read(self, start: int, size: int) -> bytes:
        """Return bytes of one value, cut at the limit of a text.

        Raises:
            UnreadableMetadata: values that lie on each other would be read without end.
        """
        held = bytes(self.tiff.data[start : start + min(size, TEXT_LIMIT)])
        self.bytes_read += len(held)
        if self.bytes_read > _BYTES_LIMIT:
            raise UnreadableMetadata(f"more than {_BYTES_LIMIT >> 20} MiB of values in the {self.form} block")
        return held

    def numbers(self, entry: Entry) -> list[float]:
        """Return the numbers of an entry, at most 32 KiB of them."""
        return self.tiff.numbers(entry, self.read(entry.start, min(entry.size, 1 << 15)))


def tiff_texts(data: Bytes, form: str) -> Iterator[MetadataText]:
    """Yield the texts of every directory of a TIFF file or EXIF block, previews and maker notes included.

    Args:
        data: begins with the byte order mark; offsets count from there.
        form: "TIFF" or "EXIF".

    Raises:
        UnreadableMetadata: it breaks off, or has more than 4,096 directories.
    """
    tiff = Tiff(data, form)
    yield from _chain(_Reading(tiff, form), tiff.number(tiff.pointer, tiff.link), "main")


def _chain(reading: _Reading, offset: int, kind: str) -> Iterator[MetadataText]:
    """Walk a list of directories; one that was seen before ends it, so loops do."""
    number = 0
    while offset and offset not in reading.seen:
        if len(reading.seen) >= _DIRECTORIES_LIMIT:
            raise UnreadableMetadata(
                f"more than {_DIRECTORIES_LIMIT:,} directories in the {reading.form} block"
            )
        reading.seen.add(offset)
        entries, following = reading.tiff.directory(offset)
        # In EXIF the second directory is the preview's (Exif 2.32 §4.5.8); in a TIFF it is the next page.
        preview = kind == "sub" or (reading.form == "EXIF" and number > 0)
        yield from _texts_of(reading, entries, kind, preview=preview)
        if kind in ("gps", "exif"):
            return
        offset, number = following, number + 1


def _texts_of(
    reading: _Reading, entries: dict[int, Entry], kind: str, *, preview: bool
) -> Iterator[MetadataText]:
    for tag, entry in entries.items():
        if kind == "gps":
            yield from _gps(reading, tag, entry)
        elif tag in (_EXIF_IFD, _GPS_IFD, _SUB_IFDS, _INTEROP_IFD):
            below = {_GPS_IFD: "gps", _SUB_IFDS: "sub"}.get(tag, "exif")
            for offset in reading.numbers(entry):
                yield from _chain(reading, int(offset), below)
        elif tag in _PACKETS:
            if entry.size > TEXT_LIMIT:
                yield MetadataText(f"{reading.form} tag {tag} beyond the limit", "", complete=False)
            yield from _PACKETS[tag](reading.read(entry.start, entry.size))
        else:
            yield from _value(reading, tag, entry)
    strips = 0x0111 in entries or 0x0144 in entries
    if preview and (strips or (_PREVIEW_OFFSET in entries and _PREVIEW_LENGTH in entries)):
        # A small picture beside the real one may show what was cut or masked there.
        yield MetadataText(f"{reading.form} thumbnail", "")


def _gps(reading: _Reading, tag: int, entry: Entry) -> Iterator[MetadataText]:
    held = reading.read(entry.start, entry.size)
    if tag in _GPS_KEPT or not held.strip(b"\0 "):
        return
    place = f"{reading.form} GPS{GPS_NAMES.get(tag, f' tag {tag}')}"
    if entry.code in (ASCII, UNDEFINED):
        yield plain_text(place, held)
    else:
        yield MetadataText(place, " ".join(f"{number:g}" for number in reading.numbers(entry)))


def _value(reading: _Reading, tag: int, entry: Entry) -> Iterator[MetadataText]:
    """Yield the text of one tag, if it has one: by its type, or because its tag is known for texts."""
    if entry.code not in (BYTE, ASCII, UNDEFINED) or tag in _NO_TEXT:
        return
    if entry.code != ASCII and tag < _FIRST_PRIVATE:
        return  # tables and samples
    name = TAG_NAMES.get(tag, f"tag {tag}")
    held = reading.read(entry.start, entry.size)
    if tag == _USER_COMMENT:
        # Eight bytes name its character code (Exif 2.32 §4.6.5).
        wide = "utf-16-le" if reading.tiff.order == "<" else "utf-16-be"
        encoding = {b"UNICODE\0": wide, b"JIS\0\0\0\0\0": "iso2022_jp"}.get(held[:8], "utf-8")
        text = plain_text(f"{reading.form} UserComment", held[8:], encoding)
    elif tag in _UTF16:
        text = plain_text(f"{reading.form} {name}", held, "utf-16-le")
    elif entry.code == ASCII:
        text = plain_text(f"{reading.form} {name}", held)
    else:  # a maker's note, or a private tag of a microscope or of ImageJ
        text = strings_text(f"{reading.form} {name}", held)
    if text.text:
        yield MetadataText(text.place, text.text, complete=entry.size == len(held))


# Exif 2.32 §4.6.4 to 4.6.8, TIFF 6.0 §8 and the XP tags of Windows; a text in any other tag is read too.
TAG_NAMES = {
    0x927C: "MakerNote", 0x010D: "DocumentName", 0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model",
    0x011D: "PageName", 0x0131: "Software", 0x0132: "DateTime", 0x013B: "Artist", 0x013C: "HostComputer",
    0x0151: "TargetPrinter", 0x8298: "Copyright", 0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized",
    0x9010: "OffsetTime", 0x9011: "OffsetTimeOriginal", 0x9012: "OffsetTimeDigitized", 0x9290: "SubSecTime",
    0x9291: "SubSecTimeOriginal", 0x9292: "SubSecTimeDigitized", 0x9C9B: "XPTitle", 0x9C9C: "XPComment",
    0x9C9D: "XPAuthor", 0x9C9E: "XPKeywords", 0x9C9F: "XPSubject", 0xA004: "RelatedSoundFile",
    0xA420: "ImageUniqueID", 0xA430: "CameraOwnerName", 0xA431: "BodySerialNumber", 0xA433: "LensMake",
    0xA434: "LensModel", 0xA435: "LensSerialNumber", 0xC614: "Model", 0xC62F: "CameraSerialNumber",
}  # fmt: skip
GPS_NAMES = {
    1: "LatitudeRef", 2: "Latitude", 3: "LongitudeRef", 4: "Longitude", 5: "AltitudeRef", 6: "Altitude",
    7: "TimeStamp", 8: "Satellites", 19: "DestLatitudeRef", 20: "DestLatitude", 21: "DestLongitudeRef",
    22: "DestLongitude", 27: "ProcessingMethod", 28: "AreaInformation", 29: "DateStamp",
}  # fmt: skip
