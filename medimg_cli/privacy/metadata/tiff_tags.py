"""Texts in the tags of TIFF files and EXIF blocks, which are TIFF files of their own."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from medimg_cli.privacy.metadata.embedded_texts import iptc_texts, irb_texts, xmp_texts
from medimg_cli.privacy.metadata.metadata_text import (
    TEXT_LIMIT,
    Bytes,
    MetadataText,
    UnreadableMetadata,
    icc_texts,
    plain_text,
    strings_text,
)
from medimg_cli.privacy.metadata.tiff_directories import ASCII, BYTE, UNDEFINED, Entry, Tiff

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
            yield from _packet(reading, tag, entry)
        else:
            yield from _value(reading, tag, entry)
    if preview:
        yield from _preview(reading, entries)


def _packet(reading: _Reading, tag: int, entry: Entry) -> Iterator[MetadataText]:
    if entry.size > TEXT_LIMIT:
        yield MetadataText(f"{reading.form} tag {tag} beyond the limit", "", complete=False)
    yield from _PACKETS[tag](reading.read(entry.start, entry.size))


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
        text = _comment(reading, held)
    elif tag in _UTF16:
        text = plain_text(f"{reading.form} {name}", held, "utf-16-le")
    elif entry.code == ASCII:
        text = plain_text(f"{reading.form} {name}", held)
    else:  # a maker's note, or a private tag of a microscope or of ImageJ
        text = strings_text(f"{reading.form} {name}", held)
    if text.text:
        yield MetadataText(text.place, text.text, complete=entry.size == len(held))


def _comment(reading: _Reading, held: bytes) -> MetadataText:
    """Return UserComment: eight bytes name its character code (Exif 2.32 §4.6.5)."""
    wide = "utf-16-le" if reading.tiff.order == "<" else "utf-16-be"
    encoding = {b"UNICODE\0": wide, b"JIS\0\0\0\0\0": "iso2022_jp"}.get(held[:8], "utf-8")
    return plain_text(f"{reading.form} UserComment", held[8:], encoding)


def _preview(reading: _Reading, entries: dict[int, Entry]) -> Iterator[MetadataText]:
    """Yield one entry for a small picture beside the real one: it may show what was cut or masked there."""
    strips = 0x0111 in entries or 0x0144 in entries
    if strips or (_PREVIEW_OFFSET in entries and _PREVIEW_LENGTH in entries):
        yield MetadataText(f"{reading.form} thumbnail", "")


# Exif 2.32 §4.6.4 to 4.6.8, TIFF 6.0 §8 and the XP tags of Windows; a text in any other tag is read too.
TAG_NAMES = {
    0x927C: "MakerNote",
    0x010D: "DocumentName",
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x011D: "PageName",
    0x0131: "Software",
    0x0132: "DateTime",
    0x013B: "Artist",
    0x013C: "HostComputer",
    0x0151: "TargetPrinter",
    0x8298: "Copyright",
    0x9003: "DateTimeOriginal",
    0x9004: "DateTimeDigitized",
    0x9010: "OffsetTime",
    0x9011: "OffsetTimeOriginal",
    0x9012: "OffsetTimeDigitized",
    0x9290: "SubSecTime",
    0x9291: "SubSecTimeOriginal",
    0x9292: "SubSecTimeDigitized",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
    0xA004: "RelatedSoundFile",
    0xA420: "ImageUniqueID",
    0xA430: "CameraOwnerName",
    0xA431: "BodySerialNumber",
    0xA433: "LensMake",
    0xA434: "LensModel",
    0xA435: "LensSerialNumber",
    0xC614: "Model",
    0xC62F: "CameraSerialNumber",
}
GPS_NAMES = {
    1: "LatitudeRef", 2: "Latitude", 3: "LongitudeRef", 4: "Longitude", 5: "AltitudeRef", 6: "Altitude",
    7: "TimeStamp", 8: "Satellites", 19: "DestLatitudeRef", 20: "DestLatitude", 21: "DestLongitudeRef",
    22: "DestLongitude", 27: "ProcessingMethod", 28: "AreaInformation", 29: "DateStamp",
}  # fmt: skip
