"""Identities in the header of a DICOM file: which attributes hold a value, and where the value stands a second time."""

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.privacy.dicom.header_texts import CURVES, OVERLAYS, ElementText, element_texts, element_vr
from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest_texts, identifies
from medimg_cli.privacy.dicom.rules import HeaderRule, rule_for
from medimg_cli.privacy.forms.names import is_placeholder

_PATIENT_AGE = 0x00101010
_PATIENT_IDENTITY_REMOVED = 0x00120062
_BURNED_IN_ANNOTATION = 0x00280301
_TEMPORAL_MODIFIED = 0x00280303
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


def is_dicom(content: Path | bytes) -> bool:
    """Return whether a file, or the bytes of one, is DICOM by its content, as the readers decide it.

    Raises:
        OSError: it cannot be opened.
    """
    if isinstance(content, bytes):
        return sniff_format(content[:HEAD_BYTES]) == "dicom"
    with content.open("rb") as stream:
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
        vr = element_vr(tag, element)
        rule = _rule(tag, vr)
        if not tag.is_private and vr == "SQ":
            items = dataset[tag].value or ()
            # A sequence of references is its UIDs, and these are found inside.
            if rule is not None and len(items) and "U" not in rule.action + rule.keeps:
                yield rule
            for item in items:
                yield from _identifying(item)
        elif rule is None or element is None:
            continue
        elif tag.is_private or tag.group & 0xFF00 in (CURVES, OVERLAYS):
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
    if tag.group & 0xFF00 == OVERLAYS and vr in ("LO", "UN"):
        return HeaderRule(int(tag), name, "R", "", "text")
    return None


def _holds_identity(rule: HeaderRule, text: str) -> bool:
    if rule.tag == _PATIENT_AGE:
        years = re.fullmatch(r"(\d+)Y?", text, re.IGNORECASE)
        return years is not None and int(years[1]) > _OLDEST_AGE_YEARS
    return bool(text) and not is_placeholder(text)


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


# Ages, days, hours and words of the standard repeat by nature; makers and code books are no persons.
_SILENT_VRS = frozenset(["AS", "CS", "DA", "DT", "TM"])
_SILENT = frozenset(
    ["Manufacturer", "ManufacturerModelName", "SoftwareVersions", "CodingSchemeDesignator", "CodeValue"]
)


@dataclass(frozen=True)
class HeaderValues:
    """What one header identifies somebody by.

    Args:
        values: harvested from it.
        repeated: (keyword of the attribute, path of another element that holds its value).
        identity_removed: Patient Identity Removed (0012,0062) is YES: the values may be invented ones.
    """

    values: IdentityValues
    repeated: frozenset[tuple[str, str]]
    identity_removed: bool


def read_values(content: Path | bytes) -> HeaderValues | None:
    """Read the header of a DICOM file, and look for its identifying values in its other elements.

    Sequences, private elements and the file meta information are searched; the pixels are not.

    Args:
        content: a file, or the bytes of one.

    Returns:
        None for what is no DICOM file.

    Raises:
        UnreadableHeader: its header is damaged.
        OSError: it cannot be opened.
    """
    if not is_dicom(content):
        return None
    try:
        dataset = header_of(content if isinstance(content, Path) else io.BytesIO(content))
        meta = getattr(dataset, "file_meta", None)
        texts = [*element_texts(meta if meta is not None else Dataset()), *element_texts(dataset)]
    except Exception as error:  # damaged bytes make pydicom raise what struct and Python happen to raise
        raise UnreadableHeader(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    values = harvest_texts(texts)
    removed = any(text.tag == _PATIENT_IDENTITY_REMOVED and text.text.upper() == "YES" for text in texts)
    return HeaderValues(values, frozenset(_repeated(texts, values)), removed)


def quiet_headers() -> None:
    """Silence what pydicom says of odd headers, inside a `warnings.catch_warnings` block: only values count here."""
    warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")


def _repeated(texts: list[ElementText], values: IdentityValues) -> Iterator[tuple[str, str]]:
    if not values:
        return
    for text in texts:
        if text.vr not in _SILENT_VRS and text.keyword not in _SILENT and not identifies(text):
            for keyword in values.search(text.text):
                yield keyword, text.path
