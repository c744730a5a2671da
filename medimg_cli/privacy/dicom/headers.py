"""Identities in the header of a DICOM file: which attributes hold a value, never the value itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.privacy.dicom.rules import HeaderRule, rule_for
from medimg_cli.privacy.forms.names import is_placeholder

_PATIENT_AGE = 0x00101010
_PATIENT_IDENTITY_REMOVED = 0x00120062
_BURNED_IN_ANNOTATION = 0x00280301
_TEMPORAL_MODIFIED = 0x00280303
# Repeating groups 50xx and 60xx, PS3.5 §7.6.
_CURVES, _OVERLAYS = 0x5000, 0x6000
# 45 CFR 164.514(b)(2)(i)(C): an age above 89 identifies, a younger one does not.
_OLDEST_AGE_YEARS = 89


class UnreadableHeader(Exception):  # noqa: N818 -- not a failure of the command: it becomes a finding
    """Raised for a file whose header cannot be read; its text is the reason, one line."""


@dataclass(frozen=True)
class HeaderIdentities:
    """What a header gives away.

    Args:
        attributes: the identifying attributes that hold a value, each once, nested ones included; PN, DA
            and DT attributes outside the table, private attributes, overlays and curves too.
        identity_removed: Patient Identity Removed (0012,0062) is YES.
        burned_in: Burned In Annotation (0028,0301) is YES.
        dates_modified: Longitudinal Temporal Information Modified (0028,0303) is MODIFIED: dates were shifted.
    """

    attributes: frozenset[HeaderRule]
    identity_removed: bool
    burned_in: bool
    dates_modified: bool = False


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its content, as the readers decide it.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as stream:
        return sniff_format(stream.read(HEAD_BYTES)) == "dicom"


def read_header_identities(path: Path) -> HeaderIdentities:
    """Read the header of a DICOM file up to its pixels and look at every attribute, nested ones too.

    Values are looked at as bytes: an ill-formed one is still seen, and nothing has to be decoded.

    Raises:
        UnreadableHeader: it is no DICOM file or breaks off.
    """
    try:
        dataset = header_of(path)
        found = identities_of(dataset)
    except Exception as error:  # damaged bytes make pydicom raise what struct and Python happen to raise
        raise UnreadableHeader(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not dataset:
        raise UnreadableHeader("no DICOM attribute in it")
    return found


def identities_of(dataset: Dataset) -> HeaderIdentities:
    """Return what a header gives away; ill-formed values raise what pydicom happens to raise."""
    return HeaderIdentities(
        frozenset(_identifying(dataset)),
        identity_removed=_text(dataset, _PATIENT_IDENTITY_REMOVED).upper() == "YES",
        burned_in=_text(dataset, _BURNED_IN_ANNOTATION).upper() == "YES",
        dates_modified=_text(dataset, _TEMPORAL_MODIFIED).upper() == "MODIFIED",
    )


def _identifying(dataset: Dataset) -> Iterator[HeaderRule]:
    """Yield the rule of every attribute that holds something, in this data set and in its sequences."""
    for tag in dataset.keys():  # noqa: SIM118 -- iterating a Dataset decodes its elements, its keys do not
        if tag.is_private_creator:
            continue
        element = dataset.get_item(tag)
        rule = _rule(tag, _vr(tag, element))
        if not tag.is_private and _vr(tag, element) == "SQ":
            items = dataset[tag].value or ()
            # A sequence of references is its UIDs, and these are found inside.
            if rule is not None and len(items) and "U" not in rule.action + rule.keeps:
                yield rule
            for item in items:
                yield from _identifying(item)
        elif rule is None or element is None:
            continue
        elif tag.is_private or tag.group & 0xFF00 in (_CURVES, _OVERLAYS):
            if not _is_empty(element):
                yield rule
        elif _holds_identity(rule, _text(dataset, tag)):
            yield rule


def _rule(tag: BaseTag, vr: str) -> HeaderRule | None:
    """Return the rule of a tag; every other person's name, date or text of an overlay identifies as well."""
    rule = rule_for(int(tag))
    if rule is not None:
        return rule
    name = keyword_for_tag(tag) or "unnamed attribute"
    if vr == "PN":
        return HeaderRule(int(tag), name, "A", "", "identity")
    if vr in ("DA", "DT"):
        return HeaderRule(int(tag), name, "C", "", "date")
    if tag.group & 0xFF00 == _OVERLAYS and vr in ("LO", "UN"):
        return HeaderRule(int(tag), name, "R", "", "text")
    return None


def _holds_identity(rule: HeaderRule, text: str) -> bool:
    if rule.tag == _PATIENT_AGE:
        years = re.fullmatch(r"(\d+)Y?", text, re.IGNORECASE)
        return years is not None and int(years[1]) > _OLDEST_AGE_YEARS
    return bool(text) and not is_placeholder(text)


def _vr(tag: BaseTag, element: DataElement | RawDataElement | None) -> str:
    """Return the value representation: as written, or from the dictionary in implicit-VR files."""
    if element is not None and element.VR is not None and element.VR != "UN":
        return str(element.VR)
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _is_empty(element: DataElement | RawDataElement) -> bool:
    value = element.value
    return not value.strip(b"\0 ") if isinstance(value, bytes) else value is None or not len(str(value))


def _text(dataset: Dataset, tag: int) -> str:
    """Return a value as text, "" where there is none; letters outside Latin-1 come out wrong, not empty."""
    element = dataset.get_item(tag) if tag in dataset else None
    if element is None or element.value is None:
        return ""
    value = element.value
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.strip(" \0^=\\")
