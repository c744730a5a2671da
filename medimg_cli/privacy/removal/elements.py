"""Elements of a DICOM header as they lie in the file: read and replaced without decoding the others.

pydicom writes an element that was never decoded byte for byte as it was read, so what is not touched cannot change,
and an ill-formed value beside it cannot stop the work.
"""

from typing import Any

from pydicom import Dataset
from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

# Attributes that say of what class something is: makers have classes of their own, and none is an instance.
_CLASS_WORDS = ("SOPClass", "TransferSyntax")
_CURVES, _OVERLAYS = 0x5000, 0x6000
# PS3.5 §6.1.2.5.3: what parts the values and the components of names resets a code extension.
_DELIMITERS = {0x5C, 0x5E, 0x3D, 0x0D, 0x0A, 0x09, 0x0C}


def representation(dataset: Dataset, tag: BaseTag) -> str | None:
    """Return the value representation by the dictionary; None for what is removed unseen.

    That is: odd groups, groups 50xx and 60xx (curves and overlays), elements 0000, groups that stand in no data set,
    attributes the dictionary does not know, and sequences that cannot be read as such.
    """
    if tag.is_private or tag.element == 0 or tag.group < 0x0008 or tag.group & 0xFF00 in (_CURVES, _OVERLAYS):
        return None
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return None
    written = dataset.get_item(tag).VR
    if vr == "SQ":
        return "SQ" if _is_sequence(dataset, tag) else None
    return None if written == "SQ" else vr.split(" or ")[0]


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
    return decode_bytes(value, [codings] if isinstance(codings, str) else list(codings), _DELIMITERS)
