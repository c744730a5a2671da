"""Elements of a DICOM header: every text read from its bytes, single ones replaced, the others left as they lie.

pydicom writes an element that was never decoded byte for byte as it was read, so what is not touched cannot change,
and an ill-formed value beside it cannot stop the work.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

_CHARACTER_SET = 0x00080005
# PS3.5 §6.2: the value representations that hold characters; UI are numbers of the standard and of objects.
_TEXT_VRS = frozenset(["AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"])
_EXTENDED_VRS = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UT"])
_BYTES_VRS = frozenset(["UN", "OB", "OW"])
_BULK_GROUPS = frozenset([0x7FE0])
_NUMBER_VRS = frozenset(
    ["AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"]
)
PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS = PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_FILE_META = 0x0002
_UNKNOWN_LIMIT = 1 << 18
_SHOWN = re.compile(rb"[\x20-\x7e\x80-\xff]{3,}")
_SHOWN_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){3,}")
_DELIMITERS = {ord("\n"), ord("\r"), ord("\f"), ord("\t"), ord("^"), ord("=")}


@dataclass(frozen=True)
class ElementText:
    """The text of one element.

    Args:
        tag: group and element as one number.
        keyword: PS3.6 keyword; `(gggg,eeee)` without one.
        vr: value representation.
        text: several values parted by backslashes; of unknown bytes what can be read of them.
        path: keywords of the sequences it stands in and its own, such as `A > B`.
    """

    tag: int
    keyword: str
    vr: str
    text: str
    path: str


def element_texts(
    dataset: Dataset, path: str = "", encodings: Sequence[str] = ("iso8859",)
) -> Iterator[ElementText]:
    """Yield the text of every element that holds one, in sequences and private groups too; not of the pixels.

    Args:
        encodings: of the data set around this one, which a Specific Character Set of its own replaces.
    """
    own = dataset.get_item(_CHARACTER_SET) if _CHARACTER_SET in dataset else None
    if own is not None and own.value:
        encodings = _encodings(own.value)
    for tag in list(dataset.keys()):
        if tag.group in _BULK_GROUPS or tag.is_private_creator:
            continue
        element = dataset.get_item(tag)
        if element is None:
            continue
        vr = element_vr(tag, element)
        name = _name(tag)
        if vr == "SQ":
            for item in dataset[tag].value or ():
                yield from element_texts(item, f"{path}{name} > ", encodings)
        elif text := _text(vr, element, encodings, unknown=tag.is_private or tag.group == _FILE_META):
            yield ElementText(int(tag), name, vr, text, path + name)


def element_vr(tag: BaseTag | int, element: DataElement | RawDataElement | None) -> str:
    """Return the value representation: as written, or from the dictionary in implicit-VR files."""
    if element is not None and element.VR not in (None, "UN"):
        return str(element.VR)
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _name(tag: BaseTag) -> str:
    known = "" if tag.is_private else keyword_for_tag(tag)
    return known or f"({tag.group:04X},{tag.element:04X})"


def _text(vr: str, element: DataElement | RawDataElement, encodings: Sequence[str], *, unknown: bool) -> str:
    value = element.value
    if vr in _TEXT_VRS:
        if isinstance(value, bytes):
            return _decode(value, encodings if vr in _EXTENDED_VRS else ("iso8859",)).strip(" \0")
        if isinstance(value, (list, tuple, MultiValue)):
            return "\\".join(map(str, value)).strip(" \0")
        return "" if value is None else str(value).strip(" \0")
    if isinstance(value, bytes) and (unknown or vr == "UN") and vr in _BYTES_VRS:
        value = value[
            :_UNKNOWN_LIMIT
        ]  # of bytes of unknown form the runs of letters, those of 8 bits and of 16
        runs = [run.decode("latin-1") for run in _SHOWN.findall(value)]
        return " ".join([*runs, *(run.decode("utf-16-le") for run in _SHOWN_WIDE.findall(value))])
    return ""


def _encodings(value: bytes | str | Sequence[str]) -> tuple[str, ...]:
    """Return Python's names of the character sets (PS3.3 C.12.1.1.2); unknown ones are left out."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    terms = text.split("\\") if isinstance(text, str) else list(map(str, text))
    known = tuple(
        python_encoding[term.strip(" \0")] for term in terms if term.strip(" \0") in python_encoding
    )
    return known or ("iso8859",)


def _decode(value: bytes, encodings: Sequence[str]) -> str:
    if len(encodings) > 1 and b"\x1b" in value:
        try:
            return decode_bytes(value, list(encodings), _DELIMITERS)
        except (UnicodeError, LookupError, ValueError):
            return value.decode("latin-1")
    try:
        return codecs.decode(value, encodings[0])
    except (UnicodeError, LookupError):
        # Many files hold UTF-8 and say nothing of it; Latin-1 has a letter for every byte.
        try:
            return value.decode("utf-8")
        except UnicodeError:
            return value.decode("latin-1")


# Attributes that say of what class something is: makers have classes of their own, and none is an instance.
_CLASS_WORDS = ("SOPClass", "TransferSyntax")
CURVES, OVERLAYS = 0x5000, 0x6000
"""Repeating groups 50xx and 60xx, PS3.5 §7.6."""
# PS3.5 §6.1.2.5.3: what parts the values and the components of names resets a code extension.
_PARTING = {0x5C, 0x5E, 0x3D, 0x0D, 0x0A, 0x09, 0x0C}


def representation(dataset: Dataset, tag: BaseTag) -> str | None:
    """Return the value representation by the dictionary; None for what is removed unseen.

    That is: odd groups, groups 50xx and 60xx (curves and overlays), elements 0000, groups that stand in no data set,
    attributes the dictionary does not know, sequences that cannot be read as such, and numbers written as characters.
    """
    if tag.is_private or tag.element == 0 or tag.group < 0x0008 or tag.group & 0xFF00 in (CURVES, OVERLAYS):
        return None
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return None
    written = dataset.get_item(tag).VR
    if vr == "SQ":
        return "SQ" if _is_sequence(dataset, tag) else None
    as_text = written not in (None, "UN", *_NUMBER_VRS) and int(tag) not in PIXELS
    return None if written == "SQ" or (as_text and vr[:2] in _NUMBER_VRS) else vr.split(" or ")[0]


def text_of(dataset: Dataset, tag: BaseTag | int) -> str:
    """Return a value as text, several parted by backslashes; "" where there is none."""
    element = dataset.get_item(tag) if tag in dataset else None
    value = None if element is None else element.value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _decoded(value, dataset).strip(" \0")
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value).strip(" \0")
    return "\\".join(str(part) for part in value).strip(" \0")


def is_empty(dataset: Dataset, tag: BaseTag) -> bool:
    """Return whether an attribute holds nothing, or nothing but padding."""
    value = dataset.get_item(tag).value
    if isinstance(value, bytes):
        return not value.strip(b" \0")
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def put(dataset: Dataset, tag: BaseTag | int, vr: str, value: Any) -> None:
    """Give an attribute a value; None and [] empty it."""
    dataset[tag] = DataElement(tag, vr, value)


def is_class(tag: BaseTag) -> bool:
    """Return whether an attribute names a class or a transfer syntax, not an instance."""
    keyword = keyword_for_tag(tag)
    return any(word in keyword for word in _CLASS_WORDS)


def _is_sequence(dataset: Dataset, tag: BaseTag) -> bool:
    try:
        return str(dataset[tag].VR) == "SQ"
    except Exception:  # damaged bytes make pydicom raise what struct and Python happen to raise
        return False


def _decoded(value: bytes, dataset: Dataset) -> str:
    codings = dataset.original_character_set
    return decode_bytes(value, [codings] if isinstance(codings, str) else list(codings), _PARTING)
