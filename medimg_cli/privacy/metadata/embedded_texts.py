"""Texts in the packets that several image formats carry: XMP, IPTC and Photoshop's resources."""

import re
import struct
from collections.abc import Iterator
from xml.etree import ElementTree

from medimg_cli.privacy.metadata.metadata_text import (
    TEXT_LIMIT,
    MetadataText,
    place_name,
    plain_text,
    strings_text,
)

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
