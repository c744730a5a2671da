"""Texts that travel inside image files: how bytes become one within limits; XMP, IPTC and Photoshop's resources."""

import itertools
import math
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

TEXT_LIMIT = 1 << 20
"""Bytes of one text that are looked at, also after inflating it."""
FILE_LIMIT = 16 << 20
"""Characters of all texts of one file."""
TEXTS_LIMIT = 10_000
"""Texts of one file."""

_LETTERS_SHARE = 0.27  # of all bytes are letters, digits or what stands between them in a name
_PLACE_LIMIT = 40
_SHOWN = re.compile(rb"[\x20-\x7e\x80-\xff\t]{4,}")
_SHOWN_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){4,}")


@dataclass(frozen=True)
class MetadataText:
    """A text beside the pixels.

    Args:
        place: where it stands, such as "EXIF Artist", "PNG tEXt Comment", "XMP creator", "EXIF GPSLatitude",
            "IPTC By-line", "JPEG comment", "EXIF thumbnail" or "trailing bytes".
        text: what it says; "" where the bytes hold no letters. Never to be shown unmasked.
        complete: False where a limit cut it off, so that more may stand there.
    """

    place: str
    text: str
    complete: bool = True


class UnreadableMetadata(Exception):  # noqa: N818 -- not a failure of the command: it becomes a finding
    """Raised for a file whose metadata cannot be read to its end; its text is the reason, one line."""


def plain_text(place: str, data: bytes, encoding: str = "utf-8") -> MetadataText:
    """Return bytes as text without padding: in `encoding`, else in Latin-1, where every byte is a letter."""
    head = data[:TEXT_LIMIT]
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    return MetadataText(place, text.strip(" \0\t\r\n"), len(data) <= TEXT_LIMIT)


def strings_text(place: str, data: bytes) -> MetadataText:
    """Return what can be read in bytes of unknown form: runs of four letters and more, 8 or 16 bits each."""
    head = bytes(data[:TEXT_LIMIT])
    runs = [plain_text("", run).text for run in _SHOWN.findall(head)]
    runs += [run.decode("utf-16-le") for run in _SHOWN_WIDE.findall(head)]
    # One sign over and over is padding or a table.
    readable = [run for run in runs if len(set(filter(str.isalnum, run))) > 1]
    return MetadataText(place, " ".join(readable), len(data) <= TEXT_LIMIT)


def reads_like_text(data: bytes) -> bool:
    """Return whether bytes that should be numbers hold a run of letters, of 8 or 16 bits each, as only text does.

    The run is as long as random bytes of this size would show in one of a thousand, and its letters go up and down:
    tables that rise, or repeat one value, are numbers.

    >>> reads_like_text(b"Quintrell^Zebedee"), reads_like_text(bytes(range(256)))
    (True, False)
    """
    size = len(data)
    if size < 6:
        return False
    least = max(6, math.ceil((math.log(size) + math.log(1000)) / -math.log(_LETTERS_SHARE)))
    narrow = re.compile(rb"[A-Za-z0-9 ^,.'_-]{%d,}" % least)
    wide = re.compile(rb"(?:\0[A-Za-z0-9 ^,.'_-]){%d,}|(?:[A-Za-z0-9 ^,.'_-]\0){%d,}" % (least, least))
    return any(_is_written(run) for run in narrow.findall(data)) or any(
        _is_written(run.replace(b"\0", b"")) for run in wide.findall(data)
    )


def _is_written(run: bytes) -> bool:
    """Return whether neighbouring letters rise and fall by turns, three times at least, and most are letters."""
    steps = [b > a for a, b in itertools.pairwise(run) if a != b]
    turns = sum(one != other for one, other in itertools.pairwise(steps))
    return turns >= 3 and sum(bytes([byte]).isalnum() for byte in run) * 4 >= len(run) * 3


def place_name(name: str) -> str:
    """Return the name of a field as a file gives it, fit for one line: 40 signs, those not printable as `?`."""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:_PLACE_LIMIT])


def inflate(data: bytes) -> tuple[bytes, bool]:
    """Return what zlib data (RFC 1950) holds, at most `TEXT_LIMIT` bytes of it, and whether that is all.

    Raises:
        UnreadableMetadata: it is damaged.
    """
    engine = zlib.decompressobj()
    try:
        held = engine.decompress(data, TEXT_LIMIT)
    except zlib.error as error:
        raise UnreadableMetadata(f"a compressed text is damaged: {error}") from error
    return held, engine.eof


def icc_texts(profile: bytes) -> Iterator[MetadataText]:
    """Yield the texts of a colour profile: description, copyright, device (ICC.1:2010 §7.3, §9.2).

    They name makers of screens and scanners, at times the person who made the profile.
    """
    (count,) = struct.unpack_from(">I", profile, 128) if len(profile) >= 132 else (0,)
    for number in range(min(count, 100)):
        entry = profile[132 + 12 * number : 144 + 12 * number]
        if len(entry) < 12:
            return
        signature, offset, size = struct.unpack(">4sII", entry)
        if signature in _ICC_TEXTS:
            held = profile[offset : offset + min(size, TEXT_LIMIT)]
            yield strings_text(f"ICC {_ICC_TEXTS[signature]}", held[8:].replace(b"\0", b"")[:4096])


_ICC_TEXTS = {
    b"desc": "description",
    b"cprt": "copyright",
    b"dmnd": "device maker",
    b"dmdd": "device model",
    b"vued": "viewing conditions",
}


def bounded(texts: Iterator[MetadataText]) -> Iterator[MetadataText]:
    """Yield texts until a limit of the file is reached; the last one then says that more may stand there."""
    characters = 0
    for number, text in enumerate(texts):
        characters += len(text.text)
        if number >= TEXTS_LIMIT or characters > FILE_LIMIT:
            yield MetadataText("metadata beyond the limit", "", complete=False)
            return
        yield text


Bytes = bytes | mmap.mmap | memoryview
"""What can be sliced: a file mapped into memory is read only where somebody looks."""


_DEPTH_LIMIT = 100
# RDF's own elements (lists, items, alternatives) say nothing of what stands in them.
_RDF = re.compile(r"\{http://www\.w3\.org/1999/02/22-rdf-syntax-ns#\}")
_XMPMETA = re.compile(r"\{adobe:ns:meta/\}")
# Names of languages and of RDF's references, not texts.
_SILENT = re.compile(
    r"\{(?:http://www\.w3\.org/XML/1998/namespace|http://www\.w3\.org/1999/02/22-rdf-syntax-ns#)\}"
)
_PACKET = re.compile(rb"<\?xpacket[^>]*\?>")

_IPTC_MARK = 0x1C
# IPTC-NAA Information Interchange Model 4.2, record 2.
_IPTC_NAMES = {
    5: "ObjectName", 7: "EditStatus", 15: "Category", 20: "Category", 22: "FixtureIdentifier", 25: "Keywords",
    30: "DateReleased", 35: "TimeReleased", 40: "SpecialInstructions", 55: "DateCreated", 60: "TimeCreated",
    62: "DateDigitized", 63: "TimeDigitized", 65: "Software", 80: "By-line", 85: "By-lineTitle", 90: "City",
    92: "Sub-location", 95: "Province-State", 101: "Country", 103: "OriginalTransmissionReference",
    105: "Headline", 110: "Credit", 115: "Source", 116: "CopyrightNotice", 118: "Contact",
    120: "Caption-Abstract", 122: "CaptionWriter", 186: "DocumentNotes", 187: "UniqueDocumentID",
    221: "Prefs",
}  # fmt: skip
# Record versions and character sets: bytes, not texts.
_IPTC_SILENT = frozenset([(1, 0), (1, 90), (2, 0), (2, 200), (2, 201)])

# Adobe Photoshop File Formats Specification, Image Resource IDs.
_IPTC_RESOURCE, _URL_RESOURCE, _EXIF_RESOURCE, _XMP_RESOURCE = 0x0404, 0x040B, 0x0422, 0x0424
_THUMBNAILS = (0x0409, 0x040C)
# Its own version, a digest of the caption, the history of print settings: no person wrote them.
_SOFTWARE_RESOURCES = frozenset(
    [0x03E8, 0x0421, 0x0425, 0x043A, 0x043B, 0x03F3, 0x03F5, 0x03ED, 0x0428, 0x2710]
)
_IRB_LIMIT = 10_000


def xmp_texts(packet: bytes) -> Iterator[MetadataText]:
    """Yield every value of an XMP packet (ISO 16684-1) under the name of its property.

    What is no whole XML, or declares entities, which XMP never does, comes as one raw text.
    """
    if len(packet) > TEXT_LIMIT or b"<!" in packet:
        yield plain_text("XMP", packet)
        return
    try:
        root = ElementTree.fromstring(_PACKET.sub(b"", packet).strip(b" \0\r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: an encoding nobody knows
        yield plain_text("XMP", packet)
        return
    yield from _element_texts(root, "", 0)


def _element_texts(element: ElementTree.Element, above: str, depth: int) -> Iterator[MetadataText]:
    if depth > _DEPTH_LIMIT:
        yield MetadataText("XMP beyond the limit", "", complete=False)
        return
    tag = element.tag
    own = above if _RDF.match(tag) or _XMPMETA.match(tag) else _local(tag)
    if element.text and element.text.strip():
        yield MetadataText(f"XMP {own}".strip(), element.text.strip())
    for name, value in element.attrib.items():
        if value.strip() and not _SILENT.match(name) and not (_XMPMETA.match(name) or _XMPMETA.match(tag)):
            yield MetadataText(f"XMP {_local(name)}", value.strip())
    for child in element:
        yield from _element_texts(child, own, depth + 1)
        if child.tail and child.tail.strip():
            yield MetadataText(f"XMP {own}".strip(), child.tail.strip())


def _local(tag: str) -> str:
    return place_name(tag.rpartition("}")[2])


def iptc_texts(block: bytes) -> Iterator[MetadataText]:
    """Yield the data sets of an IPTC-NAA block (IIM 4.2 §1.5); what is no such block comes as its strings."""
    at = 0
    while at + 5 <= len(block) and block[at] == _IPTC_MARK:
        record, number, size = struct.unpack_from(">BBH", block, at + 1)
        at += 5
        if size & 0x8000:  # an extended one: the length stands in the next bytes
            count = size & 0x7FFF
            size = int.from_bytes(block[at : at + min(count, 8)], "big")
            at += count
        held = block[at : at + size]
        at += size
        if (record, number) not in _IPTC_SILENT and held.strip(b"\0 "):
            name = _IPTC_NAMES.get(number, f"{record}:{number}") if record == 2 else f"{record}:{number}"
            yield plain_text(f"IPTC {name}", held)
    rest = strings_text("IPTC", block[at:])
    if rest.text:
        yield rest


def irb_texts(block: bytes) -> Iterator[MetadataText]:
    """Yield the texts of Photoshop's image resources: IPTC, XMP, captions, names of slices, a small picture."""
    at = 0
    for _ in range(_IRB_LIMIT):
        start = block.find(b"8BIM", at)
        if start < 0 or start + 7 > len(block):
            return
        (number,) = struct.unpack_from(">H", block, start + 4)
        name_size = block[start + 6]
        sized = start + 6 + (name_size + 2) // 2 * 2
        name = block[start + 7 : start + 7 + name_size]
        (size,) = struct.unpack(">I", block[sized : sized + 4].ljust(4, b"\0"))
        if name.strip(b"\0 "):
            yield plain_text("Photoshop resource name", name)
        yield from _resource(number, block[sized + 4 : sized + 4 + size])
        at = sized + 4 + min(size, len(block))
    yield MetadataText("Photoshop resources beyond the limit", "", complete=False)


def _resource(number: int, held: bytes) -> Iterator[MetadataText]:
    if number == _IPTC_RESOURCE:
        yield from iptc_texts(held)
    elif number == _XMP_RESOURCE:
        yield from xmp_texts(held)
    elif number in _THUMBNAILS:
        yield MetadataText("Photoshop thumbnail", "")
    elif number not in _SOFTWARE_RESOURCES:
        place = {_URL_RESOURCE: "Photoshop URL", _EXIF_RESOURCE: "Photoshop EXIF"}.get(
            number, f"Photoshop resource {number}"
        )
        text = strings_text(place, held)
        if text.text:
            yield text
